package offline

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Registers of 4 bytes each, in which a key of several parts is put together: an address of 4 bytes (16), a protocol, a port.
// Source: linux/netfilter/nf_tables.h, enum nft_registers.
const (
	regAddress  = unix.NFT_REG32_00
	regProto    = unix.NFT_REG32_01
	regPort     = unix.NFT_REG32_02
	regProto6   = unix.NFT_REG32_04
	regPort6    = unix.NFT_REG32_05
	mostCounted = 65535
)

// ruleset is a table of this network that is being written.
type ruleset struct {
	conn  *nftables.Conn
	table *nftables.Table
}

// newRuleset begins the table anew: one that a holder left which was killed is replaced in the same transaction.
func newRuleset() (*ruleset, error) {
	conn, err := nftables.New()
	if err != nil {
		return nil, fmt.Errorf("open nf_tables: %w", err)
	}
	r := &ruleset{conn: conn, table: &nftables.Table{Family: nftables.TableFamilyINet, Name: "strake"}}
	conn.AddTable(r.table) // so that there is one to delete
	conn.DelTable(r.table)
	conn.AddTable(r.table)
	return r, nil
}

// refuseOthers refuses what this network sends to anywhere but allow, and counts it.
func refuseOthers(allow []netip.Prefix) (counter, error) {
	r, err := newRuleset()
	if err != nil {
		return nil, err
	}
	policy := nftables.ChainPolicyDrop
	out := r.conn.AddChain(&nftables.Chain{Name: "output", Table: r.table, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookOutput, Priority: nftables.ChainPriorityFilter, Policy: &policy})
	accept := &expr.Verdict{Kind: expr.VerdictAccept}
	r.rule(out, append(isInterface("lo", expr.MetaKeyOIFNAME), accept)...)
	r.rule(out, &expr.Ct{Key: expr.CtKeySTATE, Register: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: binaryutil.NativeEndian.PutUint32(expr.CtStateBitESTABLISHED | expr.CtStateBitRELATED), Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: make([]byte, 4)}, accept)
	for _, p := range allow {
		mask := make([]byte, 4)
		binary.BigEndian.PutUint32(mask, ^uint32(0)<<(32-p.Bits()))
		r.rule(out, append(isFamily(unix.NFPROTO_IPV4), daddr4(1),
			&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: mask, Xor: make([]byte, 4)},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: p.Masked().Addr().AsSlice()}, accept)...)
	}
	v4, err4 := r.set("sent4", nftables.TypeIPAddr, nftables.TypeInetProto, nftables.TypeInetService)
	v6, err6 := r.set("sent6", nftables.TypeIP6Addr, nftables.TypeInetProto, nftables.TypeInetService)
	if err := errors.Join(err4, err6); err != nil {
		return nil, err
	}
	for _, proto := range []byte{unix.IPPROTO_TCP, unix.IPPROTO_UDP} {
		r.rule(out, append(append(isFamily(unix.NFPROTO_IPV4), isProto(proto)...), append(key4(true), r.count(v4), refuse())...)...)
	}
	r.rule(out, append(isFamily(unix.NFPROTO_IPV4), append(key4(false), r.count(v4), refuse())...)...) // all others
	for _, proto := range []byte{unix.IPPROTO_TCP, unix.IPPROTO_UDP} {
		r.rule(out, append(append(isFamily(unix.NFPROTO_IPV6), isProto(proto)...), append(key6(), r.count(v6), refuse())...)...)
	}
	r.rule(out, refuse())
	if err := r.conn.Flush(); err != nil {
		return nil, fmt.Errorf("write nf_tables rules: %w", err)
	}
	if err := routeAll(); err != nil {
		return nil, fmt.Errorf("route what is to be counted: %w", err)
	}
	return func() (map[sighting]int, error) { return r.sent(v4, v6) }, nil
}

// rule adds a rule to a chain.
func (r *ruleset) rule(c *nftables.Chain, parts ...expr.Any) {
	r.conn.AddRule(&nftables.Rule{Table: r.table, Chain: c, Exprs: parts})
}

// set adds a set whose elements rules add and count.
func (r *ruleset) set(name string, of ...nftables.SetDatatype) (*nftables.Set, error) {
	key, err := nftables.ConcatSetType(of...)
	if err != nil {
		return nil, err
	}
	s := &nftables.Set{Table: r.table, Name: name, KeyType: key, Concatenation: true, Dynamic: true, Size: mostCounted}
	return s, r.conn.AddSet(s, nil)
}

// count counts the key in the registers.
func (r *ruleset) count(s *nftables.Set) expr.Any {
	return &expr.Dynset{SrcRegKey: regAddress, SetName: s.Name, SetID: s.ID, Operation: unix.NFT_DYNSET_OP_UPDATE, Exprs: []expr.Any{&expr.Counter{}}}
}

// refuse tells the sender at once that there is no way.
// Source: linux/netfilter/nf_tables.h, enum nft_reject_inet_code.
func refuse() expr.Any {
	return &expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH, Code: unix.NFT_REJECT_ICMPX_NO_ROUTE}
}

func isFamily(family byte) []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1}, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{family}}}
}

func isProto(proto byte) []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{proto}}}
}

// isInterface compares an interface's name, which is padded to 16 bytes. Source: linux/if.h, IFNAMSIZ.
func isInterface(name string, key expr.MetaKey) []expr.Any {
	padded := make([]byte, 16)
	copy(padded, name)
	return []expr.Any{&expr.Meta{Key: key, Register: 1}, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: padded}}
}

// daddr4 loads where an IPv4 packet goes. Source: RFC 791, 3.1.
func daddr4(register uint32) expr.Any {
	return &expr.Payload{DestRegister: register, Base: expr.PayloadBaseNetworkHeader, Offset: 16, Len: 4}
}

// dport loads the port that a TCP or UDP packet goes to.
func dport(register uint32) expr.Any {
	return &expr.Payload{DestRegister: register, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2}
}

func key4(hasPort bool) []expr.Any {
	key := []expr.Any{daddr4(regAddress), &expr.Meta{Key: expr.MetaKeyL4PROTO, Register: regProto}}
	if !hasPort {
		return append(key, &expr.Immediate{Register: regPort, Data: []byte{0, 0}})
	}
	return append(key, dport(regPort))
}

// key6 is key4 of IPv6. Source: RFC 8200, 3.
func key6() []expr.Any {
	return []expr.Any{&expr.Payload{DestRegister: regAddress, Base: expr.PayloadBaseNetworkHeader, Offset: 24, Len: 16},
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: regProto6}, dport(regPort6)}
}

// sent reads what was counted.
func (r *ruleset) sent(v4, v6 *nftables.Set) (map[sighting]int, error) {
	all := map[sighting]int{}
	for _, of := range []struct {
		set *nftables.Set
		len int
	}{{v4, 4}, {v6, 16}} {
		elements, err := r.conn.GetSetElements(of.set)
		if err != nil {
			return nil, fmt.Errorf("read nf_tables counters: %w", err)
		}
		for _, e := range elements {
			if len(e.Key) < of.len+8 || e.Counter == nil {
				continue
			}
			to, ok := netip.AddrFromSlice(e.Key[:of.len])
			if !ok {
				continue
			}
			all[sighting{Address: to.String(), Port: int(binary.BigEndian.Uint16(e.Key[of.len+4:])), Protocol: protocolName(e.Key[of.len])}] = int(e.Counter.Packets)
		}
	}
	return all, nil
}

func protocolName(proto byte) string {
	switch proto {
	case unix.IPPROTO_TCP:
		return "tcp"
	case unix.IPPROTO_UDP:
		return "udp"
	case unix.IPPROTO_ICMP:
		return "icmp"
	}
	return fmt.Sprintf("ip protocol %d", proto)
}

// lastChoice is the metric of a route that no other one comes after, so that it is in nobody's way.
const lastChoice = 1 << 20

// routeAll gives this network a way to everywhere, over its first interface, so that what is sent there is seen and counted instead of being
// told before that there is no way. One that has one keeps it. It leads nowhere: what refuseOthers lets through is not routed by it.
// Source: rtnetlink(7), RTM_NEWROUTE.
func routeAll() error {
	index, err := firstInterface()
	if err != nil {
		return err
	}
	conn, err := netlink.Dial(unix.NETLINK_ROUTE, nil)
	if err != nil {
		return err
	}
	defer conn.Close() // it was answered
	attributes := netlink.NewAttributeEncoder()
	attributes.Uint32(unix.RTA_OIF, uint32(index))
	attributes.Uint32(unix.RTA_PRIORITY, lastChoice)
	tail, err := attributes.Encode()
	if err != nil {
		return err
	}
	head := []byte{unix.AF_INET, 0, 0, 0, unix.RT_TABLE_MAIN, unix.RTPROT_STATIC, unix.RT_SCOPE_LINK, unix.RTN_UNICAST, 0, 0, 0, 0}
	_, err = conn.Execute(netlink.Message{Header: netlink.Header{Type: unix.RTM_NEWROUTE, Flags: netlink.Request | netlink.Acknowledge | netlink.Create | netlink.Excl}, Data: append(head, tail...)})
	if errors.Is(err, unix.EEXIST) {
		return nil
	}
	return err
}
