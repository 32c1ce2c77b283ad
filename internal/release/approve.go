package release

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/strake-dev/strake/compose"
)

// mostStatements is how many statements one may make of one release: approvals, and taking them back.
const mostStatements = 99

// tagOfApproval is where the n-th statement of somebody on a release is. It is at most 128 characters, as tags are.
// Source: OCI Distribution Specification 1.1, "Pulling manifests".
func tagOfApproval(environment, commit, who string, n int) string {
	return fmt.Sprintf("approval-%s.%s.%.4x.%d", environment, commit, sha256.Sum256([]byte(who)), n)
}

// Approvals are all statements that these people made of a release, those of one person in their order. It asks one request for each person, and one for each
// statement.
func (r *Registry) Approvals(ctx context.Context, environment, commit string, people []string) ([]Signed, error) {
	of := make([][]Signed, len(people))
	err := each(ctx, people, func(ctx context.Context, i int, who string) (err error) {
		of[i], err = r.statements(ctx, environment, commit, who)
		return err
	})
	return slices.Concat(of...), err
}

// statements are those that somebody made of a release.
func (r *Registry) statements(ctx context.Context, environment, commit, who string) (all []Signed, err error) {
	for len(all) < mostStatements {
		m, err := r.read(ctx, LedgerRepository, tagOfApproval(environment, commit, who, len(all)+1))
		if errors.Is(err, ErrAbsent) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		var one Signed
		_ = valueOf(m, &one) // what cannot be read is no statement, and counts as none
		one.digest = m.digest
		all = append(all, one)
	}
	return all, nil
}

// Approve writes down a statement that sign has signed, after those that the same person made of the release before: nothing that was written is replaced.
// sign is given its text, and returns an armored signature of OpenSSH for Namespace. Others have records of their own, so that nobody waits for anybody.
func (r *Registry) Approve(ctx context.Context, st Statement, sign func(ctx context.Context, text []byte) ([]byte, error)) error {
	text, err := st.Text()
	if err != nil {
		return err
	}
	signature, err := sign(ctx, text)
	if err != nil {
		return err
	}
	signed := Signed{Text: string(text), Signature: string(signature)}
	if _, _, err := signed.statement(); err != nil {
		return fmt.Errorf("the approval that was signed: %w", err)
	}
	image, err := artifact(signed)
	if err != nil {
		return err
	}
	hash, err := image.Digest()
	if err != nil {
		return err
	}
	for tried := -1; ; {
		there, err := r.statements(ctx, st.Environment, st.Commit, st.Who)
		if err != nil || len(there) > 0 && there[len(there)-1].digest == hash.String() {
			return err
		}
		if len(there) == mostStatements {
			return &compose.HintedError{Err: fmt.Errorf("%s has said %d times whether %s may go to %s", st.Who, mostStatements, Short(st.Commit), st.Environment), Next: "publish another commit"}
		}
		if _, err := r.put(ctx, LedgerRepository, image, tagOfApproval(st.Environment, st.Commit, st.Who, len(there)+1)); err != nil && (!errors.Is(err, ErrWritten) || len(there) == tried) {
			return err
		}
		tried = len(there)
		// where the same person wrote there from elsewhere at the same time, mine comes after it
	}
}

// Approvers are all who may approve for an environment, sorted.
func Approvers(e compose.EnvironmentSettings) []string {
	all := map[string]bool{}
	for _, people := range e.Approvers {
		for _, who := range people {
			all[who] = true
		}
	}
	return sorted(all)
}

// Roles are those in which somebody may approve for an environment, sorted; of "" all of which approvals are asked.
func Roles(e compose.EnvironmentSettings, who string) []string {
	roles := map[string]bool{}
	for role := range e.Approvals {
		if who == "" || slices.Contains(e.Approvers[role], who) {
			roles[role] = true
		}
	}
	return sorted(roles)
}

func sorted(set map[string]bool) []string { return slices.Sorted(maps.Keys(set)) }
