package compose_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/schema"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"

	"github.com/strake-dev/strake/compose"
)

// TestSchema_AgreesWithTheDecoder validates compose files against the schema together with the Compose specification's own.
func TestSchema_AgreesWithTheDecoder(t *testing.T) {
	compiler := jsonschema.NewCompiler()
	for name, text := range map[string][]byte{
		"strake.json": compose.Schema(),
		"https://raw.githubusercontent.com/compose-spec/compose-spec/main/schema/compose-spec.json": []byte(schema.Schema),
	} {
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if m, ok := doc.(map[string]any); ok && name != "strake.json" {
			delete(m, "$id") // it is relative; editors know the document by where they found it
		}
		if err := compiler.AddResource(name, doc); err != nil {
			t.Fatal(err)
		}
	}
	s, err := compiler.Compile("strake.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		text string
		ok   bool
	}{
		{`{services: {web: {image: x, x-strake: {once: true}}}, x-strake: {ports: auto}}`, true},
		{`{services: {web: {image: x, x-strake: {once: "${ONCE}"}}}, x-other: 1}`, true},
		{`{services: {web: {image: x, x-strake: }}, x-strake: {}}`, true},
		{`{x-strake: {previews: {ttl: 2d, idle: 0s, cpus: 0.5, memory: 2g, environment: [A, B=c], secrets: {key: {file: k}}, budget: {previews: 3}}}}`, true},
		{`{services: {web: {image: x, x-strake: {route: {port: 8000, path: /api, strip: true}}}}, x-strake: {previews: {environment: {A: 1, B: }}}}`, true},
		{`{x-strake: {check: {ignore: [{rule: privileged, service: web, reason: x}]}}}`, true},
		{`{x-strake: {check: {ignore: [{rule: privileged, why: x}]}}}`, false},
		{`{services: {web: {image: x, x-strake: {uses: [s3, mail]}}}, x-strake: {standins: {s3: {buckets: [uploads], dir: ./.s3}, mail: {}, previews: true}}}`, true},
		{`{x-strake: {standins: {s4: {}}}}`, false},
		{`{x-strake: {previews: {tll: 2d}}}`, false},
		{`{services: {web: {image: x, x-strake: {onec: true}}}}`, false},
		{`{services: {web: {image: x, x-strake: {once: 3}}}}`, false},
		{`{x-strake: {ports: outo}}`, false},
		{`{x-strake: {prots: auto}}`, false},
		{`{services: {web: {imagee: x}}}`, false},
	} {
		var v any
		if err := yaml.NewDecoder(strings.NewReader(c.text)).Decode(&v); err != nil {
			t.Fatal(err)
		}
		if err := s.Validate(v); (err == nil) != c.ok {
			t.Errorf("Validate(%s) = %v, want valid: %t", c.text, err, c.ok)
		}
	}
}
