package host

import (
	"testing"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/compose/regex"
)

func TestOwnerText_IsReadAgainAndATagTakesIt(t *testing.T) {
	taken := regex.New(`^[\p{L}\p{Z}\p{N}_.:/=+@-]*$`) // Source: AWS Systems Manager API, Tag
	for _, o := range []compose.Owner{
		{Machine: "9f3c pid:[4026531836]", Boot: "b-1", PID: 7, Start: "12 34", Host: "ada's laptop/home~"},
		{Machine: "a=b%20", Boot: "", PID: 1, Start: "", Host: "ä"},
	} {
		text := ownerText(o)
		if got := ownerOf(text); got != o || !taken.MatchString(text) {
			t.Errorf("ownerOf(%q) = %+v, want %+v of signs that tags take", text, got, o)
		}
	}
}
