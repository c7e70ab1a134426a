package kafkareal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tallygate/tallygate/deploy/local/internal/process"

	"github.com/tallygate/tallygate/schemas/freeport"
)

const (
	startTimeout = 90 * time.Second
	stopTimeout  = 30 * time.Second
	// clusterID is fixed: the data of one node never meets another's.
	clusterID = "dGFsbHlnYXRlLWxvY2FsIQ"
)

// Node is a running broker.
type Node struct {
	// Addr is where it serves.
	Addr string

	cmd    *exec.Cmd
	paths  paths
	exited chan struct{}
}

// Start formats the data folder if it is new, starts the broker and waits until
// it serves. It must be called on a thread that lives as long as this process: the
// broker dies with that thread.
func Start(ctx context.Context, addr, data string) (*Node, error) {
	java, err := exec.LookPath("java")
	if err != nil {
		return nil, errors.New("cannot start Apache Kafka: Java is not installed; install version 17 or later: apt-get install openjdk-17-jre-headless")
	}
	classPath, err := ClassPath(ctx)
	if err != nil {
		return nil, err
	}
	if data, err = filepath.Abs(data); err != nil {
		return nil, fmt.Errorf("cannot find the data folder: %w", err)
	}
	if addr, err = freeAddress(addr); err != nil {
		return nil, err
	}
	controller, err := freeport.Addr()
	if err != nil {
		return nil, err
	}
	n := &Node{Addr: addr, paths: pathsOf(data), exited: make(chan struct{})}
	if err := n.paths.write(addr, controller); err != nil {
		return nil, err
	}
	if err := n.format(ctx, java, classPath); err != nil {
		return nil, err
	}
	n.cmd = n.java(java, classPath, "kafka.Kafka", n.paths.server)
	n.cmd.SysProcAttr = process.DieWithParent()
	if err := n.cmd.Start(); err != nil {
		return nil, fmt.Errorf("cannot start Apache Kafka: %w", err)
	}
	go func() {
		_ = n.cmd.Wait()
		close(n.exited)
	}()
	if err := n.waitReady(ctx); err != nil {
		n.Stop()
		return nil, err
	}
	return n, nil
}

// Exited is closed when the broker has ended.
func (n *Node) Exited() <-chan struct{} { return n.exited }

// Err says how the broker ended, with the last lines of its log.
func (n *Node) Err() error {
	return fmt.Errorf("the broker, Apache Kafka, ended with %s; the end of %s:\n%s", n.cmd.ProcessState, n.paths.logFile, process.Tail(n.paths.logFile, 15))
}

// Stop ends the broker in order, or by force if that takes too long.
func (n *Node) Stop() {
	_ = n.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-n.exited:
	case <-time.After(stopTimeout):
		_ = n.cmd.Process.Kill()
		<-n.exited
	}
}

// java makes a command with a small heap and a quick start.
func (n *Node) java(java, classPath, class string, args ...string) *exec.Cmd {
	args = append([]string{
		"-Xms64m", "-Xmx320m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto",
		"-Dlog4j2.configurationFile=" + n.paths.log4j, "-cp", classPath, class,
	}, args...)
	cmd := exec.Command(java, args...)
	// What the JVM itself says, before or beside the log file.
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	return cmd
}

// format prepares the folder of a new node; one that is prepared stays as it is.
func (n *Node) format(ctx context.Context, java, classPath string) error {
	if _, err := os.Stat(filepath.Join(n.paths.logs, "meta.properties")); err == nil {
		return nil
	}
	cmd := n.java(java, classPath, "kafka.tools.StorageTool", "format", "--ignore-formatted", "--cluster-id", clusterID, "--config", n.paths.server)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("cannot format the data folder of Kafka: %w: %s", err, strings.TrimSpace(output.String()))
	}
	return ctx.Err()
}

func (n *Node) waitReady(ctx context.Context) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(n.Addr))
	if err != nil {
		return fmt.Errorf("cannot make a Kafka client: %w", err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		attempt, cancel := context.WithTimeout(ctx, time.Second)
		err := client.Ping(attempt)
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-n.exited:
			return n.Err()
		case <-ctx.Done():
			return fmt.Errorf("the broker, Apache Kafka, does not answer at %s: %w; see %s", n.Addr, err, n.paths.logFile)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// freeAddress checks that an address can be listened on, and picks a port for 0.
func freeAddress(addr string) (string, error) {
	l, err := process.Listen(addr, "TALLYGATE_KAFKA_ADDR")
	if err != nil {
		return "", err
	}
	defer l.Close()
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return "", fmt.Errorf("cannot use the address %q: %w", addr, err)
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return "", fmt.Errorf("cannot use the address %q: %w", addr, err)
	}
	return net.JoinHostPort(host, port), nil
}
