//go:build realkafka

// The tests need Java 17 and Maven and take a minute: go test -tags realkafka ./deploy/local/cmd/kafkareal

package main

import (
	"testing"

	"github.com/tallygate/tallygate/deploy/local/internal/brokertest"
)

func TestBroker(t *testing.T) { brokertest.Run(t, "kafkareal") }
