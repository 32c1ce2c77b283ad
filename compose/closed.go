package compose

// The options of a bridge network by which the machine that it is on gets no address on it.
// Source: Docker Engine, bridge network driver: gateway modes, from 28.0 (API 1.48); and its label InhibitIPv4, in 20.10 already.
const (
	optionGatewayMode = "com.docker.network.bridge.gateway_mode_ipv4"
	optionInhibit     = "com.docker.network.bridge.inhibit_ipv4"
)

// ClosedOptions are the driver options of an internal network on which the machine itself has no address, so that what listens there is not
// reached from it.
func ClosedOptions(e Engine) map[string]string {
	if isOlder(e.APIVersion, "1.48") {
		return map[string]string{optionInhibit: "true"}
	}
	return map[string]string{optionGatewayMode: "isolated"}
}

// IsClosed is whether the options of a network are those of ClosedOptions, for whichever engine.
func IsClosed(options map[string]string) bool {
	return options[optionGatewayMode] == "isolated" || options[optionInhibit] == "true"
}
