package price

import (
	"regexp"
	"strings"
)

var (
	// dateRE is a release date at the end of a name: -20250929, @20250929, -2025-08-07.
	dateRE = regexp.MustCompile(`[-@]20\d{2}-?(0[1-9]|1[0-2])-?([0-2]\d|3[01])$`)
	// revisionRE is the end of a Bedrock model id: -v1:0.
	revisionRE = regexp.MustCompile(`-v\d+(:\d+)?$`)
	// regionRE is the start of the id of a Bedrock inference profile: us.
	regionRE = regexp.MustCompile(`^(us|eu|apac|jp|global)\.`)
)

// candidates lists the names under which a model may stand in a list, the most
// exact first: as it is; without "provider/" before it; without a release date;
// without a Bedrock region and revision.
//
// A region is only ever taken off what is asked for, never off what is listed: a
// price that is listed for "global." alone does not apply to "us.", which costs
// more for some models. Such a model is unpriced, which shows, until it is listed.
func candidates(provider, model string) []string {
	bare := strings.TrimPrefix(model, provider+"/")
	undated := dateRE.ReplaceAllString(bare, "")
	unrevised := dateRE.ReplaceAllString(revisionRE.ReplaceAllString(bare, ""), "")
	everywhere := regionRE.ReplaceAllString(bare, "")
	return []string{
		model, bare, undated, unrevised, everywhere,
		dateRE.ReplaceAllString(revisionRE.ReplaceAllString(everywhere, ""), ""),
	}
}
