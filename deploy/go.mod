module github.com/tallygate/tallygate/deploy

go 1.26.0
