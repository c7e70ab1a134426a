package pipeline

import (
	"bytes"

	"github.com/tallygate/tallygate/gateway/internal/apierror"
	"github.com/tallygate/tallygate/schemas/key"
)

var bearer = []byte("Bearer ")

// authenticate finds the virtual key. It reads headers only.
func authenticate(r *Request) *Denial {
	header := &r.ctx.Request.Header
	given := header.Peek("Authorization")
	if len(given) == 0 {
		return r.deny(apierror.MissingKey, "", "")
	}
	// With two, a proxy before us and we might read different ones.
	if len(header.PeekAll("Authorization")) > 1 {
		return r.deny(apierror.InvalidKey, "", "The Authorization header was given more than once.")
	}
	if len(given) < len(bearer) || !bytes.EqualFold(given[:len(bearer)], bearer) {
		return r.deny(apierror.InvalidKey, "", "The Authorization header must be of the form: Bearer tg_live_…")
	}
	given = bytes.TrimSpace(given[len(bearer):])
	// Typos and scans end here: they cost a checksum.
	if key.Check(given) != nil {
		return r.deny(apierror.InvalidKey, "", "")
	}
	k := r.view.Key(r.p.Digester.Digest(given))
	if k == nil {
		return r.deny(apierror.InvalidKey, "", "")
	}
	r.key = k
	r.facts.Team, r.facts.App, r.facts.Key = k.Team, k.App, k.ID
	switch {
	case k.Disabled:
		return r.deny(apierror.DisabledKey, k.ID, "")
	case k.Expired(r.now):
		return r.deny(apierror.ExpiredKey, k.ID, "")
	}
	return nil
}
