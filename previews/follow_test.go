package previews

import (
	"reflect"
	"testing"
)

func TestRecord_FollowsItsDomain(t *testing.T) {
	r := &Record{Preview: Preview{URL: "http://pr-1.a.test", URLs: map[string]string{"web": "http://pr-1.a.test", "api": "http://pr-1.a.test/api", "docs": "http://docs--pr-1.a.test:81"}},
		Routes: []Route{{Service: "web", Host: "pr-1.a.test", Main: true}, {Service: "api", Host: "pr-1.a.test", Path: "/api"}, {Service: "docs", Host: "docs--pr-1.a.test"}}}
	if !r.follow("b.test") {
		t.Error("follow = false, want that there were names elsewhere")
	}
	want := map[string]string{"web": "http://pr-1.b.test", "api": "http://pr-1.b.test/api", "docs": "http://docs--pr-1.b.test:81"}
	if r.URL != "http://pr-1.b.test" || !reflect.DeepEqual(r.URLs, want) || r.Routes[2].Host != "docs--pr-1.b.test" {
		t.Errorf("after follow: %s, %v, %+v", r.URL, r.URLs, r.Routes)
	}
	if r.follow("b.test") {
		t.Error("the second follow = true, want that nothing was to be done")
	}
}
