// Command check proves that nothing was lost: it sums the requests topic up and
// compares the sums, and each request, with ClickHouse and with the answers that
// `load -record` wrote. It exits with 1 if anything differs, and names the first
// few of what does.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/tallygate/tallygate/loadtest/internal/check"
)

// errDiffers says that the check was made and found something.
var errDiffers = errors.New("something was lost, repeated or changed; see above")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "check:", err)
		os.Exit(1)
	}
}

type options struct {
	brokers    []string
	clickhouse string
	record     string
	atRest     bool
}

func run(ctx context.Context) error {
	brokers := flag.String("brokers", env("TALLYGATE_KAFKA_BROKERS", "127.0.0.1:9092"), "Kafka `addresses`, comma-separated; also TALLYGATE_KAFKA_BROKERS")
	clickhouse := flag.String("clickhouse", os.Getenv("TALLYGATE_CLICKHOUSE_URL"), "`URL` of ClickHouse with the database; also TALLYGATE_CLICKHOUSE_URL; without it only the log is checked")
	record := flag.String("record", "", "`file` that load -record wrote")
	atRest := flag.Bool("at-rest", false, "a request that was admitted and has no end is a defect")
	wait := flag.Duration("wait", 0, "check again and again until nothing differs, for this long: consumers need a moment to catch up")
	timeout := flag.Duration("timeout", 5*time.Minute, "for one check")
	flag.Parse()
	if flag.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q; see -help", flag.Arg(0))
	}
	o := options{brokers: strings.Split(*brokers, ","), clickhouse: *clickhouse, record: *record, atRest: *atRest}
	for until := time.Now().Add(*wait); ; {
		report, err := o.check(ctx, *timeout)
		if err != nil && time.Now().Before(until) && ctx.Err() == nil {
			time.Sleep(time.Second)
			continue
		}
		fmt.Print(report)
		return err
	}
}

func env(name, fallback string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return fallback
}

// check makes one check and returns its report.
func (o *options) check(ctx context.Context, timeout time.Duration) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var report strings.Builder
	l, err := check.ReadLog(ctx, o.brokers)
	if err != nil {
		return "", err
	}
	if o.atRest {
		l.Ended()
	}
	s := l.Summary()
	fmt.Fprintf(&report, "log: %d records, %d of them repeated, of %d spools, %d of which are closed\n", s.Records, s.Duplicates, s.Spools, s.ClosedSpools)
	fmt.Fprintf(&report, "requests: %d completed, %d denied, %d abandoned, %d open\n", s.Completed, s.Denied, s.Abandoned, s.Open)
	if err := o.compare(ctx, l, &report); err != nil {
		return report.String(), err
	}
	if l.Findings.Count("") == 0 {
		fmt.Fprintln(&report, "nothing was lost, repeated or changed")
		return report.String(), nil
	}
	if err := l.Findings.Write(&report); err != nil {
		return report.String(), err
	}
	return report.String(), errDiffers
}

// compare compares the log with whatever was given beside it.
func (o *options) compare(ctx context.Context, l *check.Log, report *strings.Builder) error {
	if o.record != "" {
		f, err := os.Open(o.record)
		if err != nil {
			return fmt.Errorf("cannot read the record: %w", err)
		}
		defer f.Close()
		a, err := l.CompareAnswers(f, &l.Findings)
		if err != nil {
			return fmt.Errorf("%q: %w", o.record, err)
		}
		fmt.Fprintf(report, "answers: %d, of which %d succeeded, with %d input and %d output tokens, and %d were cut\n",
			a.All, a.Succeeded, a.Input, a.Output, a.Partial)
	}
	if o.clickhouse == "" {
		return nil
	}
	db, err := check.NewClickHouse(o.clickhouse)
	if err != nil {
		return err
	}
	var t check.Table
	if err := l.CompareTables(ctx, db, &l.Findings, &t); err != nil {
		return err
	}
	return t.Write(report)
}
