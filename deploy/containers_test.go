package deploy

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// compose is what the test looks at in docker-compose.yml.
type compose struct {
	Services map[string]struct {
		Image string
		Build struct{ Context, Dockerfile string }
		// Environment is by name.
		Environment map[string]string
		Volumes     []string
	}
	Volumes map[string]any
}

// Containers cannot be run in every test environment; what they name must exist.
func TestComposeFile(t *testing.T) {
	text, err := os.ReadFile("../docker-compose.yml")
	if err != nil {
		t.Fatal(err)
	}
	var c compose
	if err := yaml.Unmarshal(text, &c); err != nil {
		t.Fatalf("docker-compose.yml is no YAML: %v", err)
	}
	for _, name := range []string{"kafka", "clickhouse", "consumers", "gateway"} {
		s, ok := c.Services[name]
		if !ok {
			t.Fatalf("there is no service %q", name)
		}
		if s.Image == "" && s.Build.Dockerfile == "" {
			t.Fatalf("service %q has neither image nor build", name)
		}
		if s.Image != "" && !regexp.MustCompile(`:\d+\.\d+(\.\d+)*$`).MatchString(s.Image) {
			t.Fatalf("the image of service %q is not pinned: %q", name, s.Image)
		}
		if s.Build.Dockerfile != "" {
			mustExist(t, filepath.Join("..", s.Build.Dockerfile))
		}
		for _, v := range s.Volumes {
			from, _, _ := strings.Cut(v, ":")
			if strings.HasPrefix(from, ".") {
				mustExist(t, filepath.Join("..", from))
			} else if _, ok := c.Volumes[from]; !ok {
				t.Fatalf("service %q uses the volume %q, which is not declared", name, from)
			}
		}
	}
	env := c.Services["gateway"].Environment
	for _, secret := range secretsOf(t, "local/tallygate.yaml") {
		if _, ok := env[secret]; !ok {
			t.Fatalf("the gateway's configuration refers to env:%s, which its container does not get", secret)
		}
	}
	if env["TALLYGATE_KAFKA_BROKERS"] != "kafka:9092" || !strings.HasPrefix(c.Services["kafka"].Environment["KAFKA_ADVERTISED_LISTENERS"], "PLAINTEXT://kafka:9092") {
		t.Fatal("the gateway does not look for Kafka where it listens")
	}
}

// What containers run is what the tests run against.
func TestImagesAreTheTestedVersions(t *testing.T) {
	compose, err := os.ReadFile("../docker-compose.yml")
	if err != nil {
		t.Fatal(err)
	}
	f := func(image, path, version string) {
		t.Helper()
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		m := regexp.MustCompile(version).FindSubmatch(text)
		if m == nil {
			t.Fatalf("%s names no version by %q", path, version)
		}
		if want := "image: " + image + ":" + string(m[1]) + "\n"; !strings.Contains(string(compose), want) {
			t.Fatalf("docker-compose.yml does not have %q, the version of %s", want, path)
		}
	}
	f("apache/kafka", "kafka/pom.xml", `<kafka.version>(.+)</kafka.version>`)
	f("clickhouse/clickhouse-server", "local/internal/engine/table.go", `"@chdb/.*Version: "(\d+\.\d+)\.`)
}

func mustExist(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("docker-compose.yml names a file that is not there: %v", err)
	}
}

// secretsOf returns the variables that a configuration takes secrets from.
func secretsOf(t *testing.T, path string) []string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range regexp.MustCompile(`env:([A-Z_]+)`).FindAllStringSubmatch(string(text), -1) {
		if !slices.Contains(names, m[1]) {
			names = append(names, m[1])
		}
	}
	return names
}

// The images build what is there, with the Go version of the modules.
func TestDockerfiles(t *testing.T) {
	for _, name := range []string{"gateway", "consumers"} {
		text, err := os.ReadFile("docker/Dockerfile." + name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`\./([a-z]+/cmd/[a-z]+)`).FindAllStringSubmatch(string(text), -1) {
			mustExist(t, filepath.Join("..", m[1]))
		}
		if !strings.Contains(string(text), "FROM golang:1.26") || !strings.Contains(string(text), "distroless/static") {
			t.Fatalf("Dockerfile.%s does not build with Go 1.26 onto a static base", name)
		}
	}
}
