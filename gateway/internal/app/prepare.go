// Package app wires the gateway's parts together, and takes them down in order.
package app

import (
	"errors"
	"fmt"

	"github.com/tallygate/tallygate/schemas/config"
	"github.com/tallygate/tallygate/schemas/event"
	"github.com/tallygate/tallygate/schemas/key"
	"github.com/tallygate/tallygate/schemas/policy"
	"github.com/tallygate/tallygate/schemas/price"
)

// Prepared is what a configuration comes to, with its secrets resolved.
type Prepared struct {
	Digester *key.Digester
	Prices   *price.List
	// Declared is the policy that the configuration declares.
	Declared []*event.Change
}

// Prepare resolves what a configuration refers to. Its error lists all that is wrong.
func Prepare(conf *config.Config) (*Prepared, error) {
	var errs []error
	out := &Prepared{Prices: price.Default()}
	if conf.Gateway.PricesFile != "" {
		var err error
		if out.Prices, err = price.Load(conf.Gateway.PricesFile); err != nil {
			errs = append(errs, err)
		}
	}
	pepper, err := conf.Gateway.Pepper.Resolve()
	if err == nil {
		out.Digester, err = key.NewDigester([]byte(pepper))
	}
	if err != nil {
		return nil, errors.Join(append(errs, fmt.Errorf("gateway.pepper: %w", err))...)
	}
	if out.Declared, err = policy.Declared(&conf.Policy, out.Digester); err != nil {
		errs = append(errs, err)
	}
	return out, errors.Join(errs...)
}
