package kafkareal

import (
	"embed"
	"fmt"
	"os"
	"path/filepath"
	"text/template"
)

//go:embed server.properties log4j2.properties
var files embed.FS

var templates = template.Must(template.ParseFS(files, "*.properties"))

// settings fill the configuration's blanks.
type settings struct{ Addr, Controller, Logs, LogFile string }

// paths are the files in a broker's data folder.
type paths struct{ logs, logFile, server, log4j string }

func pathsOf(data string) paths {
	return paths{
		logs: filepath.Join(data, "logs"), logFile: filepath.Join(data, "kafka.log"),
		server: filepath.Join(data, "server.properties"), log4j: filepath.Join(data, "log4j2.properties"),
	}
}

// write writes the configuration, anew at each start since the addresses may change.
func (p paths) write(addr, controller string) error {
	s := settings{Addr: addr, Controller: controller, Logs: p.logs, LogFile: p.logFile}
	for name, path := range map[string]string{"server.properties": p.server, "log4j2.properties": p.log4j} {
		f, err := os.Create(path)
		if err != nil {
			return fmt.Errorf("cannot write Kafka's configuration: %w", err)
		}
		err = templates.ExecuteTemplate(f, name, s)
		if closeErr := f.Close(); err == nil {
			err = closeErr
		}
		if err != nil {
			return fmt.Errorf("cannot write Kafka's configuration %q: %w", path, err)
		}
	}
	return nil
}
