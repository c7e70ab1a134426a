package main

import (
	"testing"

	"github.com/tallygate/tallygate/deploy/local/internal/brokertest"
)

func TestBroker(t *testing.T) { brokertest.Run(t, "kafkalocal") }
