// Package registry lists the provider APIs that this gateway speaks.
package registry

import (
	"github.com/tallygate/tallygate/gateway/internal/provider"
	"github.com/tallygate/tallygate/gateway/internal/provider/openai"
)

// all is the list. A new API is a folder beside this one, and a line here.
var all = []provider.Provider{
	openai.New(),
}

// Lookup returns the API of a name, as in providers[].api; nil if there is none.
func Lookup(api string) provider.Provider {
	for _, p := range all {
		if p.Name() == api {
			return p
		}
	}
	return nil
}

// Names lists the names of all APIs.
func Names() []string {
	names := make([]string, len(all))
	for i, p := range all {
		names[i] = p.Name()
	}
	return names
}
