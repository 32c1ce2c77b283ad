package compose_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/strake-dev/strake/compose"
)

// TestRoutes_Golden: each project is a list of services; want is host, path, service, port, main of each route.
func TestRoutes_Golden(t *testing.T) {
	for _, c := range []struct{ services, want string }{
		{`{web: {image: x, ports: ["8080:80"]}, db: {image: x, ports: ["5432:5432"]}}`, "/ web:80 main"},
		{`{db: {image: x, ports: ["5432:5432"]}}`, ""},
		{`{api: {image: x, ports: ["8000:8000"]}, web: {image: x, ports: ["3000:3000"]}}`, "api/ api:8000, / web:3000 main"},
		{`{b: {image: x, ports: ["8000"]}, a: {image: x, ports: ["3000"]}}`, "/ a:3000 main, b/ b:8000"},
		{`{mail: {image: x, ports: ["1025:1025", "8025:8025"]}}`, "/ mail:8025 main"},
		{`{s3: {image: x, ports: ["9001:9001", "9000:9000"]}}`, "/ s3:9000 main"},
		{`{x: {image: x, ports: [{target: 7, app_protocol: http}, "80"]}}`, "/ x:7 main"},
		{`{x: {image: x, ports: ["53:53/udp"]}}`, ""},
		{`{web: {image: x, ports: ["80"]}, api: {image: x, expose: ["8000"], x-strake: {route: {path: /api/, strip: true}}}}`, "/api api:8000 strip main"},
		{`{web: {image: x, ports: ["80"], x-strake: {route: }}, api: {image: x, x-strake: {route: {port: 9}}}}`, "/ api:9 main"},
		{`{web: {image: x, ports: ["80"], x-strake: {route: {}}}, api: {image: x, x-strake: {route: {port: 9, path: /api}}}}`, "/api api:9, / web:80 main"},
		{`{web: {image: x, ports: ["80"], x-strake: {route: {}}}, api: {image: x, x-strake: {route: {port: 9, main: true}}}}`, "/ api:9 main, web/ web:80"},
		{`{my_Api: {image: x, ports: ["80"]}, web: {image: x, ports: ["81"]}}`, "my-api/ my_Api:80, / web:81 main"},
		{`{web: {image: x, ports: ["80"], profiles: [off]}, api: {image: x, ports: ["81"]}}`, "/ api:81 main"},
	} {
		p := loadServices(t, c.services)
		all, err := compose.Routes(p)
		if got := routesText(all); err != nil || got != c.want {
			t.Errorf("Routes(%s) = %s, %v, want %s", c.services, got, err, c.want)
		}
	}
}

func TestRoutes_SaysWhatItCannotTell(t *testing.T) {
	for _, c := range []struct{ services, want string }{
		{`{web: {image: x, x-strake: {route: {}}}}`, "service web is routed, and which of its ports answers requests is not known"},
		{`{web: {image: x, ports: ["81", "82"], x-strake: {route: {}}}}`, "service web is routed, and which of its ports answers requests is not known"},
		{`{a: {image: x, x-strake: {route: {port: 1, main: true}}}, b: {image: x, x-strake: {route: {port: 1, main: true}}}}`, "services a, b are all routed as the main one\n" +
			"services a and b are both routed at host (the stack's own) and path /"},
		{`{a_b: {image: x, ports: ["81"]}, a-b: {image: x, ports: ["82"]}, web: {image: x, ports: ["80"]}}`, "services a-b and a_b are both routed at host a-b and path /"},
	} {
		_, err := compose.Routes(loadServices(t, c.services))
		if err == nil || err.Error() != c.want {
			t.Errorf("Routes(%s) = %v, want %s", c.services, err, c.want)
			continue
		}
		for _, h := range hints(t, err) {
			if h == "" {
				t.Errorf("Routes(%s): %v has no hint", c.services, err)
			}
		}
	}
}

func loadServices(t *testing.T, services string) *compose.Project {
	t.Helper()
	p, err := compose.Load(t.Context(), compose.LoadOptions{Dir: t.TempDir(), Files: []string{"-"}, Name: "shop", Stdin: strings.NewReader("services: " + services)})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func routesText(all []compose.RouteSpec) string {
	var lines []string
	for _, r := range all {
		line := fmt.Sprintf("%s%s %s:%d", r.Host, r.Path, r.Service, r.Port)
		if r.Strip {
			line += " strip"
		}
		if r.Main {
			line += " main"
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, ", ")
}
