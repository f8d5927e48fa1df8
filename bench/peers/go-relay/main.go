// Go-relay forwards packets between callers and transceivers in Earshot's trunk format, written as well as Go's
// standard library allows: one public socket per worker on a shared port (SO_REUSEPORT), one locked OS thread per
// direction and worker, no allocation per packet. The standard library has no batched system calls, so each packet
// towards a transceiver is a datagram of its own; bundles from there are taken apart.
//
//	go-relay UDP-ADDRESS TRUNK-IP COOKIE TOKEN-KEY
//
// prints the address of its public port. COOKIE and TOKEN-KEY are the deployment's, in hexadecimal.
package main

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"log"
	"net"
	"net/netip"
	"os"
	"runtime"
	"syscall"
)

const (
	soReusePort  = 15 // Linux; package syscall does not have it
	socketBuffer = 4 << 20
	headerBytes  = 16
	entryBytes   = 6
	ufragLength  = 23
)

type worker struct {
	public *net.UDPConn
	trunk  *net.UDPConn
	cookie []byte
	tokens cipher.Block
	// Of this worker's public socket: the kernel gives a client's packets to the same one always.
	flows map[netip.AddrPort]netip.AddrPort
}

func main() {
	if len(os.Args) != 5 {
		log.Fatal("usage: go-relay UDP-ADDRESS TRUNK-IP COOKIE TOKEN-KEY")
	}
	cookie, err := hex.DecodeString(os.Args[3])
	must(err)
	key, err := hex.DecodeString(os.Args[4])
	must(err)
	tokens, err := aes.NewCipher(key)
	must(err)
	address := os.Args[1]
	for i := 0; i < runtime.NumCPU(); i++ {
		public := listen(address)
		address = public.LocalAddr().String()
		trunk := listen(net.JoinHostPort(os.Args[2], "0"))
		w := &worker{public, trunk, cookie, tokens, make(map[netip.AddrPort]netip.AddrPort)}
		go w.forward()
		go w.back()
	}
	fmt.Println(address)
	select {}
}

func listen(address string) *net.UDPConn {
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var failed error
		err := raw.Control(func(fd uintptr) {
			failed = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, soReusePort, 1)
		})
		if err != nil {
			return err
		}
		return failed
	}}
	packets, err := config.ListenPacket(context.Background(), "udp4", address)
	must(err)
	socket := packets.(*net.UDPConn)
	must(socket.SetReadBuffer(socketBuffer))
	must(socket.SetWriteBuffer(socketBuffer))
	return socket
}

// forward takes packets from callers to their transceivers.
func (w *worker) forward() {
	runtime.LockOSThread()
	// The packet is read behind room for the trunk's headers, so that nothing is copied.
	const at = headerBytes + entryBytes + 4
	buffer := make([]byte, at+2048)
	copy(buffer, []byte{0xea, 0x52, 1, 0})
	copy(buffer[8:], w.cookie)
	buffer[headerBytes+2] = 4
	sequences := make(map[netip.AddrPort]*uint32)
	for {
		length, client, err := w.public.ReadFromUDPAddrPort(buffer[at:])
		if err != nil || length == 0 {
			continue
		}
		target, known := w.flows[client]
		if buffer[at] < 4 {
			if found, ok := w.target(buffer[at : at+length]); ok {
				target, known = found, true
				w.flows[client] = found
			}
		}
		if !known {
			continue
		}
		sequence := sequences[target]
		if sequence == nil {
			sequence = new(uint32)
			sequences[target] = sequence
		}
		binary.BigEndian.PutUint32(buffer[4:], *sequence)
		*sequence++
		binary.BigEndian.PutUint16(buffer[headerBytes:], uint16(length))
		binary.BigEndian.PutUint16(buffer[headerBytes+4:], client.Port())
		ip := client.Addr().As4()
		copy(buffer[headerBytes+entryBytes:], ip[:])
		_, _ = w.trunk.WriteToUDPAddrPort(buffer[:at+length], target)
	}
}

// back takes bundles from transceivers apart, to the callers named in them.
func (w *worker) back() {
	runtime.LockOSThread()
	buffer := make([]byte, 2048)
	for {
		length, _, err := w.trunk.ReadFromUDPAddrPort(buffer)
		if err != nil || length < headerBytes || !bytes.Equal(buffer[8:headerBytes], w.cookie) || buffer[3]&1 == 0 {
			continue
		}
		for at := headerBytes; at+entryBytes+4 <= length && buffer[at+2] == 4; {
			payload := at + entryBytes + 4
			end := payload + int(binary.BigEndian.Uint16(buffer[at:]))
			if end > length {
				break
			}
			client := netip.AddrPortFrom(address4(buffer[at+entryBytes:]), binary.BigEndian.Uint16(buffer[at+4:]))
			_, _ = w.public.WriteToUDPAddrPort(buffer[payload:end], client)
			at = end
		}
	}
}

// target reads the routing token in the USERNAME of a STUN binding request.
func (w *worker) target(request []byte) (netip.AddrPort, bool) {
	for at := 20; at+4 <= len(request); {
		end := at + 4 + int(binary.BigEndian.Uint16(request[at+2:]))
		if end > len(request) {
			break
		}
		if binary.BigEndian.Uint16(request[at:]) == 0x0006 && end-at-4 >= ufragLength {
			var token [17]byte
			if _, err := base64.RawStdEncoding.Decode(token[:], request[at+4:at+4+ufragLength]); err != nil {
				break
			}
			var block [16]byte
			w.tokens.Decrypt(block[:], token[1:])
			if binary.BigEndian.Uint32(block[:]) != 0 {
				break
			}
			return netip.AddrPortFrom(address4(block[7:]), binary.BigEndian.Uint16(block[11:])), true
		}
		at = (end + 3) &^ 3
	}
	return netip.AddrPort{}, false
}

func address4(bytes []byte) netip.Addr {
	return netip.AddrFrom4([4]byte{bytes[0], bytes[1], bytes[2], bytes[3]})
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
