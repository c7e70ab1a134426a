package clickhouse_test

import "reflect"

// tags returns the `ch` tags of the struct that a row points to.
func tags(row any) (out []string) {
	typ := reflect.TypeOf(row).Elem()
	for i := range typ.NumField() {
		out = append(out, typ.Field(i).Tag.Get("ch"))
	}
	return out
}
