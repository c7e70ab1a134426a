module github.com/tallygate/tallygate/loadtest

go 1.26
