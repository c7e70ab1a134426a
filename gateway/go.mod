module github.com/tallygate/tallygate/gateway

go 1.26.0

require github.com/tallygate/tallygate/schemas v0.0.0

replace github.com/tallygate/tallygate/schemas => ../schemas
