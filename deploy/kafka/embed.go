// Package kafka holds what is needed to get a real Apache Kafka: the list of its
// jars, pinned, for Maven.
package kafka

import _ "embed"

// POM is the Maven project whose runtime class path is a Kafka broker.
//
//go:embed pom.xml
var POM []byte
