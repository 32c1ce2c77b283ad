package compose

import "testing"

func TestWord_IsOneWordOfAShell(t *testing.T) {
	for text, want := range map[string]string{"web": "web", "feature/a-b_1.2": "feature/a-b_1.2", "$(id)": `'$(id)'`, "a b": `'a b'`, "it's": `"it's"`, "; rm -rf x": `'; rm -rf x'`, "a\x00b": `"a\x00b"`, "": "''"} {
		if got := Word(text); got != want {
			t.Errorf("Word(%q) = %s, want %s", text, got, want)
		}
	}
}
