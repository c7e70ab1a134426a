module github.com/tallygate/tallygate/dashboards

go 1.26.0
