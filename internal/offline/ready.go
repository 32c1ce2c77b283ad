package offline

import (
	"io"
	"net"
)

// readySocket is an abstract socket, which goes with the process that listens. Source: unix(7).
const readySocket = "@strake-offline"

// beReady has Ready answer yes until the closer is closed.
func beReady() (io.Closer, error) {
	l, err := net.Listen("unix", readySocket)
	if err != nil {
		return nil, err
	}
	go func() { // ends when the closer is closed; what is not accepted would fill the queue, a healthcheck at a time
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = conn.Close() // it has seen what it wanted
		}
	}()
	return l, nil
}

// Ready is nil where a sink or a holder of this network is ready.
func Ready() error {
	conn, err := net.Dial("unix", readySocket)
	if err != nil {
		return err
	}
	return conn.Close()
}
