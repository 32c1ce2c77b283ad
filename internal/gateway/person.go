package gateway

import (
	"net/http"
	"strings"
)

// machines are what the User-Agent of programs that look at pages by themselves contain, in lower case: search engines,
// link unfurlers, monitoring, probes. "bot", "crawl" and "spider" cover most.
var machines = [...]string{
	"bot", "crawl", "spider", "slurp", "facebookexternalhit", "facebookcatalog", "meta-externalagent", "whatsapp", "slack-imgproxy",
	"slackbot", "skypeuripreview", "embedly", "pinterest", "vkshare", "snapchat", "redditbot", "iframely", "outbrain", "quora link preview",
	"bitlybot", "mastodon", "linkpreview", "link preview", "preview service", "microsoft office", "msoffice", "googleimageproxy",
	"google-read-aloud", "google-inspectiontool", "feedfetcher", "feedburner", "lighthouse", "pagespeed", "headless-check",
	"kube-probe", "elb-healthchecker", "googlehc", "consul health check", "haproxy", "envoy/hc", "traefik", "uptime", "pingdom", "statuscake",
	"site24x7", "datadog", "newrelic", "prometheus", "blackbox", "checkly", "nagios", "check_http", "zabbix", "monitoring", "healthcheck",
	"health-check", "censys", "shodan", "zgrab", "masscan", "nmap", "expanse",
}

// tools are programs that a person runs by hand as well as a machine does: the path tells.
var tools = [...]string{"curl/", "wget", "go-http-client", "python-requests", "python-urllib", "okhttp", "node-fetch", "axios"}

// healthPaths are the paths that health checks ask for.
var healthPaths = [...]string{"/health", "/healthz", "/livez", "/readyz", "/ready", "/ping", "/status", "/up", "/-/healthy", "/-/ready", "/alive", "/heartbeat"}

// isPerson reports whether a person made a request, as far as it shows. One without a User-Agent counts as a person's.
func isPerson(r *http.Request) bool {
	if r.Header.Get(ProbeHeader) != "" || isPreflight(r) || isPrefetch(r) {
		return false
	}
	agent := strings.ToLower(r.UserAgent())
	for _, m := range machines {
		if strings.Contains(agent, m) {
			return false
		}
	}
	for _, t := range tools {
		if strings.HasPrefix(agent, t) && isHealthPath(r.URL.Path) {
			return false
		}
	}
	return true
}

func isHealthPath(path string) bool {
	for _, p := range healthPaths {
		if strings.HasSuffix(strings.TrimSuffix(path, "/"), p) {
			return true
		}
	}
	return false
}

// isPrefetch reports whether a browser asks for a page that nobody has asked it for yet.
func isPrefetch(r *http.Request) bool {
	return strings.Contains(r.Header.Get("Sec-Purpose"), "prefetch") || r.Header.Get("Purpose") == "prefetch"
}

// isPreflight reports whether a browser asks by itself whether a script may ask. It never sends cookies with that.
// Source: https://fetch.spec.whatwg.org/#cors-preflight-request
func isPreflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && r.Header.Get("Origin") != "" && r.Header.Get("Access-Control-Request-Method") != ""
}

// isPage reports whether the answer is shown to a person as a page of its own.
func isPage(r *http.Request) bool {
	mode := r.Header.Get("Sec-Fetch-Mode")
	return (r.Method == http.MethodGet || r.Method == http.MethodHead) && (mode == "" || mode == "navigate") &&
		r.Header.Get("X-Requested-With") == "" && strings.Contains(r.Header.Get("Accept"), "text/html")
}
