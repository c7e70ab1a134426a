module github.com/tallygate/tallygate/loadtest

go 1.26.0

require (
	github.com/cespare/xxhash/v2 v2.3.0
	github.com/tidwall/gjson v1.20.1
	github.com/valyala/fasthttp v1.78.0
)

require (
	github.com/klauspost/compress v1.20.3 // indirect
	github.com/molecule-man/go-brrr v1.3.1 // indirect
	github.com/tidwall/match v1.1.1 // indirect
	github.com/tidwall/pretty v1.2.0 // indirect
	github.com/valyala/bytebufferpool v1.0.0 // indirect
)
