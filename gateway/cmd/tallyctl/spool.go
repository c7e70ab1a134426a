package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/tallygate/tallygate/gateway/internal/spool"
	"github.com/tallygate/tallygate/schemas/event"
)

// openShown bounds how many open requests are listed.
const openShown = 20

func spoolCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "spool", Short: "Write-ahead logs of gateways"}
	cmd.AddCommand(&cobra.Command{
		Use:   "inspect DIR",
		Short: "Show what is in a spool, what is not shipped, and which requests are open",
		Long: "Show what is in a spool, what Kafka does not have yet, and which requests have no end.\n" +
			"DIR is the folder of one spool, the folder that holds them, or a gateway's data folder.\n" +
			"Nothing is changed, and a gateway may be running over it. The exit status is 1 if a\n" +
			"spool is damaged.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return inspect(cmd.OutOrStdout(), args[0]) },
	})
	return cmd
}

func inspect(w io.Writer, dir string) error {
	folders, err := spoolFolders(dir)
	if err != nil {
		return err
	}
	var errs []error
	for i, folder := range folders {
		r, err := spool.Inspect(folder)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if i > 0 {
			fmt.Fprintln(w)
		}
		if err := show(w, r); err != nil {
			return err
		}
		for _, p := range r.Problems {
			if errors.Is(p, spool.ErrDamaged) {
				errs = append(errs, fmt.Errorf("spool %016x is damaged", r.ID))
				break
			}
		}
	}
	return errors.Join(errs...)
}

// spoolFolders finds the folders of spools in what was named.
func spoolFolders(dir string) ([]string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if _, ok := spool.ParseFolder(filepath.Base(abs)); ok {
		return []string{abs}, nil
	}
	for _, parent := range []string{abs, filepath.Join(abs, "spool")} {
		entries, err := os.ReadDir(parent)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("cannot look for spools: %w", err)
		}
		var found []string
		for _, e := range entries {
			if _, ok := spool.ParseFolder(e.Name()); ok && e.IsDir() {
				found = append(found, filepath.Join(parent, e.Name()))
			}
		}
		if len(found) > 0 {
			return found, nil
		}
	}
	return nil, fmt.Errorf("there is no spool in %q; name the folder of a spool (16 hexadecimal digits), or a gateway's data folder", dir)
}

func show(w io.Writer, r *spool.Report) error {
	fmt.Fprintf(w, "spool %016x\n", r.ID)
	tw := tabwriter.NewWriter(w, 2, 0, 2, ' ', 0)
	fmt.Fprintf(tw, "  folder\t%s\n", r.Dir)
	if o := r.Opened; o != nil {
		fmt.Fprintf(tw, "  written by\t%s %q, version %s\n", o.Role, o.Replica, o.Version)
	}
	fmt.Fprintf(tw, "  on disk\t%d records, %d bytes, %d segments\n", r.Next-r.First, r.Bytes, r.Segments)
	fmt.Fprintf(tw, "  not shipped\t%d records, %d bytes, by the last checkpoint\n", r.Unshipped, r.UnshippedBytes)
	fmt.Fprintf(tw, "  open requests\t%d\n", len(r.Open))
	for _, name := range slices.Sorted(maps.Keys(r.Kinds)) {
		fmt.Fprintf(tw, "  %s\t%d\n", name, r.Kinds[name])
	}
	for _, p := range r.Problems {
		fmt.Fprintf(tw, "  problem\t%s\n", p)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	if len(r.Partitions) > 0 {
		fmt.Fprintf(tw, "\n  partition\tpseq\tclosed\n")
		for _, p := range slices.Sorted(maps.Keys(r.Partitions)) {
			s := r.Partitions[p]
			fmt.Fprintf(tw, "  %d\t%d-%d\t%t\n", p, s.First, s.Last, s.Closed)
		}
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	return showOpen(tw, r.Open)
}

func showOpen(tw *tabwriter.Writer, open spool.OpenRequests) error {
	if len(open) == 0 {
		return nil
	}
	ids := slices.SortedFunc(maps.Keys(open), func(a, b event.ID) int { return bytes.Compare(a[:], b[:]) })
	fmt.Fprintf(tw, "\n  open request\torg\tkey\tmodel\tadmitted at\n")
	for i, id := range ids {
		if i == openShown {
			fmt.Fprintf(tw, "  … and %d more\n", len(ids)-i)
			break
		}
		var env event.Envelope
		if err := env.UnmarshalVT(open[id].Admitted); err != nil {
			return fmt.Errorf("cannot read the admission of request %s: %w", id, err)
		}
		f := env.GetAdmitted().GetFacts()
		fmt.Fprintf(tw, "  %s\t%s\t%s\t%s\t%s\n", id, env.Org, f.GetKey(), f.GetModel(), time.Unix(0, env.OccurredAt).UTC().Format(time.RFC3339))
	}
	return tw.Flush()
}
