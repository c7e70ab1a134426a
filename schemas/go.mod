module github.com/tallygate/tallygate/schemas

go 1.26.0

require (
	github.com/planetscale/vtprotobuf v0.6.0
	go.yaml.in/yaml/v3 v3.0.6
	google.golang.org/protobuf v1.36.12
)

tool (
	github.com/planetscale/vtprotobuf/cmd/protoc-gen-go-vtproto
	google.golang.org/protobuf/cmd/protoc-gen-go
)
