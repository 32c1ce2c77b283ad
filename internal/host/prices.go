package host

import "github.com/strake-dev/strake/compose"

// PricesOf is the date of the prices below.
const PricesOf = "2026-01"

// What machines cost an hour in US dollars: Linux, on demand, in us-east-1, to which other regions come close enough for an estimate.
// Source: Amazon EC2 On-Demand Pricing.
var hourly = map[string]float64{
	"t3.medium": 0.0416, "t3.large": 0.0832, "t3.xlarge": 0.1664, "t3.2xlarge": 0.3328,
	"t3a.medium": 0.0376, "t3a.large": 0.0752, "t3a.xlarge": 0.1504, "t3a.2xlarge": 0.3008,
	"t4g.medium": 0.0336, "t4g.large": 0.0672, "t4g.xlarge": 0.1344, "t4g.2xlarge": 0.2688,
	"m6i.large": 0.096, "m6i.xlarge": 0.192, "m6i.2xlarge": 0.384, "m6g.large": 0.077, "m6g.xlarge": 0.154,
	"m7i.large": 0.1008, "m7i.xlarge": 0.2016, "m7g.large": 0.0816, "m7g.xlarge": 0.1632,
	"c6i.large": 0.085, "c6i.xlarge": 0.17, "c7g.large": 0.0725, "c7g.xlarge": 0.145, "r6i.large": 0.126, "r6i.xlarge": 0.252,
}

// What an address and a GiB of a gp3 disk cost an hour, and what part of the price spare capacity is taken to cost.
const (
	addressHourly = 0.005
	diskHourly    = 0.08 / 730
	spotPart      = 0.4
)

// Hourly is an estimate of what a machine of a type costs an hour; 0 where its price is not known.
func Hourly(kind string, spot bool, s compose.EC2Settings) compose.Dollars {
	price, ok := hourly[kind]
	if !ok {
		return 0
	}
	if spot {
		price *= spotPart
	}
	price += diskHourly * float64(gibibytes(s.Disk))
	if s.Address != compose.AddressPrivate {
		price += addressHourly
	}
	return compose.Dollars(price)
}
