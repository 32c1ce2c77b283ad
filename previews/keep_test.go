package previews_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/previews"
)

// TestOpen_KeepsData: with KeepData an update goes on with the container that holds data, and its volume; the next one without begins anew.
func TestOpen_KeepsData(t *testing.T) {
	m, h, s := newRig(t)
	first := open(t, m, s, 1)
	db, volume := idOf(t, h, "db"), nameOf(t, h)
	s.heads[42] = commitOf(2)
	p, err := m.Open(t.Context(), previews.OpenOptions{Change: previews.Change{PullRequest: 42}, KeepData: true})
	if err != nil {
		t.Fatal(err)
	}
	if got := idOf(t, h, "db"); got != db || nameOf(t, h) != volume || p.Active == first.Active {
		t.Errorf("after an update that keeps data db is %s with volume %s, want %s with %s", got, nameOf(t, h), db, volume)
	}
	if err := errors.Join(m.Sleep(t.Context(), project, "pr-42"), m.Wake(t.Context(), project, "pr-42")); err != nil {
		t.Errorf("Sleep, Wake = %v, want nil", err)
	}
	if _, err := m.Sync(t.Context(), project, previews.SyncOptions{}); err != nil || idOf(t, h, "db") != db {
		t.Errorf("Sync = %v, and db is %s, want nil and %s", err, idOf(t, h, "db"), db)
	}
	open(t, m, s, 3)
	if idOf(t, h, "db") == db || nameOf(t, h) == volume {
		t.Errorf("after an update that does not keep data db is %s with volume %s, want others", db, volume)
	}
	if _, err := m.Close(t.Context(), project, "pr-42"); err != nil {
		t.Errorf("Close = %v, want nil", err)
	}
	if got := things(t, h); len(got) > 0 {
		t.Errorf("after Close there is %q", got)
	}
}

// TestClose_OfKeptData: what an update kept goes with all else.
func TestClose_OfKeptData(t *testing.T) {
	m, h, s := newRig(t)
	open(t, m, s, 1)
	s.heads[42] = commitOf(2)
	if _, err := m.Open(t.Context(), previews.OpenOptions{Change: previews.Change{PullRequest: 42}, KeepData: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Close(t.Context(), project, "pr-42"); err != nil {
		t.Errorf("Close = %v, want nil", err)
	}
	if got := things(t, h); len(got) > 0 {
		t.Errorf("after Close there is %q", got)
	}
}

// idOf is the id of the one container of a service.
func idOf(t *testing.T, h *host, service string) string {
	t.Helper()
	state, err := h.Observe(t.Context(), compose.Scope{Label: compose.LabelService + "=" + service})
	if err != nil || len(state.Containers) != 1 {
		t.Fatalf("%d containers of %s, %v, want one", len(state.Containers), service, err)
	}
	return state.Containers[0].ID
}

// nameOf is the name of the one volume.
func nameOf(t *testing.T, h *host) string {
	t.Helper()
	state, err := h.Observe(t.Context(), compose.Scope{Label: previews.LabelPreview})
	if err != nil || len(state.Volumes) != 1 {
		t.Fatalf("%d volumes, %v, want one", len(state.Volumes), err)
	}
	return state.Volumes[0].Name
}

// TestOpen_KeepsDataOfASleeper: the container that holds the data is the same after it slept.
func TestOpen_KeepsDataOfASleeper(t *testing.T) {
	m, h, s := newRig(t)
	open(t, m, s, 1)
	db := idOf(t, h, "db")
	if err := m.Sleep(t.Context(), project, "pr-42"); err != nil {
		t.Fatal(err)
	}
	if p := open(t, m, s, 1); p.State != previews.Ready || p.Generation != 1 || idOf(t, h, "db") != db {
		t.Errorf("Open of a sleeper at the same commit = %+v with db %s, want it ready as it was with %s", p, idOf(t, h, "db"), db)
	}
	if err := m.Sleep(t.Context(), project, "pr-42"); err != nil {
		t.Fatal(err)
	}
	s.heads[42] = commitOf(2)
	if _, err := m.Open(t.Context(), previews.OpenOptions{Change: previews.Change{PullRequest: 42}, KeepData: true}); err != nil || idOf(t, h, "db") != db {
		t.Errorf("Open that keeps the data of a sleeper = %v with db %s, want %s", err, idOf(t, h, "db"), db)
	}
}

// TestOpen_RemembersWhoMayLook: what an open made private is not public after the next one.
func TestOpen_RemembersWhoMayLook(t *testing.T) {
	m, _, s := newRig(t)
	s.heads[42] = commitOf(1)
	if _, err := m.Open(t.Context(), previews.OpenOptions{Change: previews.Change{PullRequest: 42}, Access: compose.AccessLink}); err != nil {
		t.Fatal(err)
	}
	open(t, m, s, 2)
	if access, _, err := m.Entry(t.Context(), project, "pr-42"); err != nil || access != compose.AccessLink {
		t.Errorf("after an open that says nothing of it the access is %q, %v, want link", access, err)
	}
}

// TestOpen_RefusesTheStackOfAnotherProject whose names add up to the same.
func TestOpen_RefusesTheStackOfAnotherProject(t *testing.T) {
	m, h, s := newRig(t)
	open(t, m, s, 1)
	text, err := h.Kept(t.Context(), "strake-preview-shop-pr-42", "preview.json")
	if err != nil {
		t.Fatal(err)
	}
	other := strings.Replace(string(text), `"project":"shop"`, `"project":"shop-pr"`, 1)
	if err := h.Keep(t.Context(), "strake-preview-shop-pr-42", nil, map[string][]byte{"preview.json": []byte(other)}); err != nil {
		t.Fatal(err)
	}
	_, openErr := m.Open(t.Context(), previews.OpenOptions{Change: previews.Change{PullRequest: 42}})
	_, closeErr := m.Close(t.Context(), project, "pr-42")
	for _, err := range []error{openErr, closeErr} {
		if err == nil || !strings.Contains(err.Error(), "is preview pr-42 of project shop-pr, not of shop") {
			t.Errorf("Open, Close of another project's stack = %v, want that it is another's", err)
		}
	}
}

// TestClose_OfARecordThatIsCutShort: the preview is removed all the same, and until then the others are listed with an error that says how.
func TestClose_OfARecordThatIsCutShort(t *testing.T) {
	m, h, s := newRig(t)
	open(t, m, s, 1)
	if err := h.Keep(t.Context(), "strake-preview-shop-pr-42", nil, map[string][]byte{"preview.json": []byte(`{"id":`)}); err != nil {
		t.Fatal(err)
	}
	if _, err := m.List(t.Context(), project); err == nil || !strings.Contains(err.Error(), "cut short; strake preview close") {
		t.Errorf("List = %v, want that the record is cut short", err)
	}
	if _, err := m.Close(t.Context(), project, "pr-42"); err != nil {
		t.Errorf("Close = %v, want nil", err)
	}
	if got := things(t, h); len(got) > 0 {
		t.Errorf("after Close there is %q", got)
	}
}
