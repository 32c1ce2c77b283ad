package cli

import (
	"slices"
	"testing"
)

func TestAuthorsIn_LeavesNobodyOut(t *testing.T) {
	for text, want := range map[string][]string{
		"\x00<ada@example.org>\nA change\n\nText <x@y>\n": {"ada@example.org"},
		"\x00<>\nA change": {"<>"}, // nobody's, so that nobody's approval counts
		"\x00<ada@example.org>\nA\n\nCo-authored-by: Bob <bob@example.org> and Cyn <cyn@example.org>\n\nnotes\n---\n": {"ada@example.org", "bob@example.org", "cyn@example.org"},
		"\x00<a@x>\nA\n\nsome text\nco-AUTHORED-by: dan@x\n\x00<b@x>\nB":                                              {"a@x", "dan@x", "b@x"},
		"": nil,
	} {
		if got := authorsIn(text); !slices.Equal(got, want) {
			t.Errorf("authorsIn(%q) = %q, want %q", text, got, want)
		}
	}
}
