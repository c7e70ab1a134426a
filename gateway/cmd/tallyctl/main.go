// Command tallyctl is the operator's tool: it makes virtual keys and looks into
// spools.
package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/tallygate/tallygate/schemas/key"
)

// version is set when a release is built.
var version = "dev"

func main() {
	if err := root().Execute(); err != nil {
		fmt.Fprintf(os.Stderr, "tallyctl: %s\n", err)
		os.Exit(1)
	}
}

func root() *cobra.Command {
	cmd := &cobra.Command{
		Use:           "tallyctl",
		Short:         "Operate Tallygate",
		Version:       version,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	cmd.AddCommand(keyCommand(), spoolCommand())
	return cmd
}

func keyCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "key", Short: "Virtual keys"}
	cmd.AddCommand(&cobra.Command{
		Use:   "new",
		Short: "Print a fresh virtual key",
		Long: "Print a fresh virtual key of 256 random bits. It is kept nowhere: put it where a key's\n" +
			"secret in the configuration refers to, and give it to its application.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), key.New())
			return err
		},
	})
	return cmd
}
