package offline

import (
	"io"
	"net"
)

// readySocket is an abstract socket, which goes with the process that listens. Source: unix(7).
const readySocket = "@strake-offline"

// beReady has Ready answer yes until the closer is closed.
func beReady() (io.Closer, error) { return net.Listen("unix", readySocket) }

// Ready is nil where a sink or a holder of this network is ready.
func Ready() error {
	conn, err := net.Dial("unix", readySocket)
	if err != nil {
		return err
	}
	return conn.Close()
}
