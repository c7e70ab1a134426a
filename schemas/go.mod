module github.com/tallygate/tallygate/schemas

go 1.26
