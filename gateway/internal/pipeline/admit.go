package pipeline

import "github.com/tallygate/tallygate/gateway/internal/apierror"

// admit writes that the request passed every rule. Nothing is sent to a provider
// before that record is safe.
func (r *Request) admit() *Denial {
	if err := r.recordAdmitted(); err != nil {
		return r.deny(apierror.SpoolFull, "", "")
	}
	r.admitted = true
	return nil
}
