package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

func TestSettingChanges_AreNamedWithoutTheirValues(t *testing.T) {
	for _, c := range []struct{ before, after, want string }{
		{`{"services": {"web": {"environment": {"A": 1, "B": "x"}}}}`, `{"services": {"web": {"environment": ["A=1", "C=s3cret"]}}}`,
			"removed services.web.environment.B; added services.web.environment.C"},
		{`{"services": {"web": {"environment": ["A"]}}}`, `{"services": {"web": {"environment": {"A": null}}}}`, ""},
		{`{"services": {"web": {"command": ["a b"]}}}`, `{"services": {"web": {"command": ["a", "b"]}}}`, "changed services.web.command"},
		{`{"services": {"web": {"ports": ["80"]}}}`, `{"services": {"web": {"ports": ["80"]}, "api": {"image": "x"}}, "volumes": {"data": {}}}`, "added services.api; added volumes"},
		{`{"name": "a", "x-strake": {"environments": {"prod": {"soak": "24h"}}, "migrate": {"service": "a"}}}`,
			`{"name": "b", "x-strake": {"environments": {}, "migrate": {"service": "b"}}}`, "changed x-strake.migrate.service"},
		{`{"services": {"web": {"build": "."}}}`, `{"services": {"web": {"build": {"context": "."}}}}`, "added services.web.build.context"},
		{`null`, `{"services": {"web": {}}}`, "added services"},
	} {
		var before, after any
		if err := json.Unmarshal([]byte(c.before), &before); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(c.after), &after); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, s := range settingChanges("", before, after) {
			got = append(got, s.Change+" "+s.Setting)
		}
		if text := strings.Join(got, "; "); text != c.want {
			t.Errorf("from %s to %s: %q, want %q", c.before, c.after, text, c.want)
		}
	}
}

func TestPrintSettings_SaysHowManyMoreThereAre(t *testing.T) {
	var many []settingChange
	for n := range mostSettings + 3 {
		many = append(many, settingChange{fmt.Sprint("services.web.environment.V", n), "added"})
	}
	var out bytes.Buffer
	printSettings(&out, many, nil)
	if text := out.String(); !strings.HasPrefix(text, "changes 23 settings:\n  added    services.web.environment.V0\n") || !strings.HasSuffix(text, "  and 3 more\n") {
		t.Errorf("many settings are printed as\n%s", text)
	}
}
