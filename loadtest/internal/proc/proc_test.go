//go:build linux

package proc

import (
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestReadSeesWork(t *testing.T) {
	before, err := Read(os.Getpid())
	if err != nil {
		t.Fatalf("unexpected error: %s", err)
	}
	sum := 0
	for begin := time.Now(); time.Since(begin) < 100*time.Millisecond; sum++ {
	}
	after, err := Read(os.Getpid())
	if err != nil {
		t.Fatalf("unexpected error: %s", err)
	}
	if used := after.CPU - before.CPU; used < 10*time.Millisecond || used > 2*time.Second {
		t.Fatalf("unexpected processor time of 100ms of work; got %s", used)
	}
	if after.RSSBytes < 1<<20 || after.RSSBytes > 1<<34 {
		t.Fatalf("unexpected memory; got %d bytes", after.RSSBytes)
	}
}

func TestClockAndStatAgree(t *testing.T) {
	byStat, err := cpuByStat(os.Getpid())
	if err != nil {
		t.Fatalf("unexpected error: %s", err)
	}
	byClock, err := cpuByClock(os.Getpid())
	if err != nil {
		t.Fatalf("unexpected error: %s", err)
	}
	if diff := byClock - byStat; diff < -2*tick || diff > 5*tick {
		t.Fatalf("the clock says %s, /proc says %s", byClock, byStat)
	}
}

func TestReadFailure(t *testing.T) {
	if _, err := Read(1 << 30); err == nil {
		t.Fatal("no error for a process that does not exist")
	}
}

func TestListener(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().(*net.TCPAddr).AddrPort()
	pid, err := Listener(addr)
	if err != nil || pid != os.Getpid() {
		t.Fatalf("unexpected listener; got %d, %v; want %d", pid, err, os.Getpid())
	}
	ln.Close()
	if _, err := Listener(addr); err == nil || !strings.Contains(err.Error(), "nobody listens") {
		t.Fatalf("unexpected error after closing: %v", err)
	}
}

func TestPin(t *testing.T) {
	cmd := exec.Command("sleep", "10")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cmd.Process.Kill(); cmd.Wait() }()
	if err := Pin(cmd.Process.Pid, 0); err != nil {
		t.Fatalf("unexpected error: %s", err)
	}
	b, err := os.ReadFile("/proc/" + strconv.Itoa(cmd.Process.Pid) + "/status")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(b), "Cpus_allowed_list:\t0\n") {
		t.Fatalf("the process is not pinned to processor 0: %s", b)
	}
	if err := Pin(cmd.Process.Pid, 1000); err == nil {
		t.Fatal("no error for a processor that does not exist")
	}
}

func TestStartPinned(t *testing.T) {
	cmd := exec.Command("grep", "Cpus_allowed_list", "/proc/self/status")
	var out strings.Builder
	cmd.Stdout = &out
	if err := Start(cmd, 0); err != nil {
		t.Fatalf("unexpected error: %s", err)
	}
	if err := cmd.Wait(); err != nil || out.String() != "Cpus_allowed_list:\t0\n" {
		t.Fatalf("unexpected processors of a child that was started on 0: %q, %v", out.String(), err)
	}
}

func TestMachine(t *testing.T) {
	before, err := Machine()
	if err != nil {
		t.Fatalf("unexpected error: %s", err)
	}
	for begin := time.Now(); time.Since(begin) < 60*time.Millisecond; {
	}
	after, err := Machine()
	if err != nil {
		t.Fatalf("unexpected error: %s", err)
	}
	if share := after.Since(before); share <= 0 || share > 1.01 {
		t.Fatalf("unexpected share of the machine; got %g; want above 0 and at most 1", share)
	}
}

func TestSleepUntilIsPrecise(t *testing.T) {
	best := time.Hour
	for range 20 {
		until := time.Now().Add(500 * time.Microsecond)
		SleepUntil(until)
		late := time.Since(until)
		if late < 0 {
			t.Fatalf("woke up %s early", -late)
		}
		best = min(best, late)
	}
	if best > 500*time.Microsecond {
		t.Fatalf("woke up %s late at best; want below 500µs", best)
	}
}
