package compose_test

import (
	"strings"
	"testing"

	"github.com/strake-dev/strake/compose"
)

func TestLoad_RefusesAnAnchorInItself(t *testing.T) {
	for text, want := range map[string]string{
		"x-a: &a\n  <<: *a\n  b: 1\nservices:\n  web: {<<: *a, image: nginx}\n":                                   "-:2:7: the anchor a contains itself",
		"x-a: &a {<<: [*a]}\nservices:\n  web: {image: nginx}\n":                                                  "-:1:15: the anchor a contains itself",
		"x-a: &a {b: &b {<<: *a}}\nservices:\n  web: {image: nginx}\n":                                            "-:1:21: the anchor a contains itself",
		"x-a: &a {image: nginx}\nx-b: &b {<<: *a}\nservices:\n  web: {<<: [*a, *b]}\n  api: {<<: *b, labels: {}}": "",
	} {
		options := func() compose.LoadOptions {
			return compose.LoadOptions{Files: []string{"-"}, Name: "shop", Dir: t.TempDir(), Stdin: strings.NewReader(text)}
		}
		_, loadErr := compose.Load(t.Context(), options())
		_, writtenErr := compose.AsWritten(t.Context(), options(), false)
		for name, err := range map[string]error{"Load": loadErr, "AsWritten": writtenErr} {
			got := ""
			if err != nil {
				got = err.Error()
			}
			if got != want {
				t.Errorf("%s of\n%s= %q, want %q", name, text, got, want)
			}
		}
	}
}
