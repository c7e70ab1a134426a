package pipeline

import "github.com/tallygate/tallygate/gateway/internal/apierror"

// available ends requests that cannot be decided on: there is no policy or no
// balance yet, or the process is going away.
func available(r *Request) *Denial {
	if r.p.draining.Load() {
		return r.deny(apierror.Draining, "", "")
	}
	r.view = r.p.view.Load()
	if r.view == nil {
		return r.deny(apierror.NotReady, "", "")
	}
	if !r.p.ready.Load() {
		return r.deny(apierror.BudgetUnknown, "", "")
	}
	return nil
}
