package simulator

// modelList returns the body of /v1/models.
func modelList(names []string) []byte {
	b := []byte(`{"object":"list","data":[`)
	for i, name := range names {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendModel(b, name)
	}
	return append(b, "]}"...)
}

func appendModel(dst []byte, name string) []byte {
	dst = append(dst, `{"id":`...)
	dst = appendJSONString(dst, name)
	return append(dst, `,"object":"model","created":`+createdAt+`,"owned_by":"simulator"}`...)
}
