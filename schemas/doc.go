// Package schemas is the contract between the two halves of Tallygate: events,
// topics, configuration, policy, decisions, prices and ClickHouse tables. It
// imports neither the gateway nor the consumers.
package schemas
