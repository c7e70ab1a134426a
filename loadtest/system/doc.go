// Package system tests the whole of Tallygate: it starts the real programs as
// processes on loopback, a fresh log and database for each test, calls the gateway
// as an application does, kills what may be killed, and asks ClickHouse what became
// of it.
//
//	make test-system                             on the embedded broker
//	TALLYGATE_TEST_KAFKA=real make test-system   on Apache Kafka
//
// The tests stand behind the build tag "system", so that `go test ./...` stays
// quick. What a test leaves (logs, spools, data) is kept in .cache/system if it
// fails, and its name is printed.
package system
