// Package kafkareal runs one node of the real Apache Kafka (KRaft), for tests of
// what the embedded broker only imitates.
package kafkareal

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/tallygate/tallygate/deploy/kafka"
	"github.com/tallygate/tallygate/deploy/local/internal/engine"
)

// ClassPath returns the class path of a broker. Maven downloads what is not in its
// own cache; the answer is kept until the list of jars changes.
func ClassPath(ctx context.Context) (string, error) {
	cache, err := engine.Folder()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(kafka.POM)
	folder := filepath.Join(cache, "kafka-"+hex.EncodeToString(sum[:6]))
	path := filepath.Join(folder, "classpath")
	if text, err := os.ReadFile(path); err == nil && allExist(string(text)) {
		return string(text), nil
	}
	mvn, err := exec.LookPath("mvn")
	if err != nil {
		return "", errors.New("cannot get Apache Kafka: Maven is not installed; install it and Java 17: apt-get install maven openjdk-17-jre-headless")
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return "", fmt.Errorf("cannot make a folder for the class path of Kafka: %w; set TALLYGATE_CACHE to another", err)
	}
	temp, err := os.MkdirTemp(folder, ".resolve-")
	if err != nil {
		return "", fmt.Errorf("cannot make a folder for the class path of Kafka: %w", err)
	}
	defer os.RemoveAll(temp)
	pom, out := filepath.Join(temp, "pom.xml"), filepath.Join(temp, "classpath")
	if err := os.WriteFile(pom, kafka.POM, 0o644); err != nil {
		return "", fmt.Errorf("cannot write the list of Kafka's jars: %w", err)
	}
	cmd := exec.CommandContext(ctx, mvn, "-q", "-B", "-f", pom, "dependency:build-classpath", "-Dmdep.outputFile="+out)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("cannot get the jars of Kafka by Maven: %w: %s", err, strings.TrimSpace(output.String()))
	}
	if err := os.Rename(out, path); err != nil {
		return "", fmt.Errorf("cannot keep the class path of Kafka: %w", err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("cannot read the class path of Kafka: %w", err)
	}
	return string(text), nil
}

func allExist(classPath string) bool {
	for _, jar := range filepath.SplitList(classPath) {
		if _, err := os.Stat(jar); err != nil {
			return false
		}
	}
	return classPath != ""
}
