// Pion-echo answers WebRTC calls and writes every RTP packet straight back: the least that a Pion server can do.
//
//	pion-echo 127.0.0.1:8081 127.0.0.1:3479
//
// takes offers by POST at the first address, all media at the second (one UDP mux port, ICE lite), and prints "ready".
// No interceptor is registered: neither RTCP reports nor NACK are paid for.
package main

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"

	"github.com/pion/webrtc/v3"
)

const socketBuffer = 4 << 20

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: pion-echo HTTP-ADDRESS UDP-ADDRESS")
	}
	api, err := newAPI(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("ready")
	log.Fatal(http.Serve(listener, http.HandlerFunc(func(response http.ResponseWriter, request *http.Request) {
		offer, err := io.ReadAll(http.MaxBytesReader(response, request.Body, 1<<16))
		if err == nil {
			var answer string
			if answer, err = accept(api, string(offer)); err == nil {
				response.Header().Set("Content-Type", "application/sdp")
				response.WriteHeader(http.StatusCreated)
				_, _ = io.WriteString(response, answer)
				return
			}
		}
		http.Error(response, err.Error(), http.StatusBadRequest)
	})))
}

func newAPI(udpAddress string) (*webrtc.API, error) {
	address, err := net.ResolveUDPAddr("udp4", udpAddress)
	if err != nil {
		return nil, err
	}
	socket, err := net.ListenUDP("udp4", address)
	if err != nil {
		return nil, err
	}
	if err := socket.SetReadBuffer(socketBuffer); err != nil {
		return nil, err
	}
	if err := socket.SetWriteBuffer(socketBuffer); err != nil {
		return nil, err
	}
	settings := webrtc.SettingEngine{}
	settings.SetLite(true)
	settings.SetICEUDPMux(webrtc.NewICEUDPMux(nil, socket))
	settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	settings.SetIncludeLoopbackCandidate(true)
	settings.SetInterfaceFilter(func(name string) bool { return name == "lo" })
	media := &webrtc.MediaEngine{}
	opus := webrtc.RTPCodecParameters{
		RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2},
		PayloadType:        111,
	}
	if err := media.RegisterCodec(opus, webrtc.RTPCodecTypeAudio); err != nil {
		return nil, err
	}
	return webrtc.NewAPI(webrtc.WithMediaEngine(media), webrtc.WithSettingEngine(settings)), nil
}

func accept(api *webrtc.API, offer string) (string, error) {
	connection, err := api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return "", err
	}
	answer, err := answerWithEcho(connection, offer)
	if err != nil {
		_ = connection.Close()
	}
	return answer, err
}

func answerWithEcho(connection *webrtc.PeerConnection, offer string) (string, error) {
	back, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus}, "audio", "echo")
	if err != nil {
		return "", err
	}
	if _, err := connection.AddTrack(back); err != nil {
		return "", err
	}
	connection.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		packet := make([]byte, 1500)
		for {
			length, _, err := track.Read(packet)
			if err != nil {
				return
			}
			if _, err := back.Write(packet[:length]); err != nil {
				return
			}
		}
	})
	connection.OnConnectionStateChange(func(state webrtc.PeerConnectionState) {
		switch state {
		case webrtc.PeerConnectionStateDisconnected, webrtc.PeerConnectionStateFailed:
			_ = connection.Close()
		}
	})
	if err := connection.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer}); err != nil {
		return "", err
	}
	answer, err := connection.CreateAnswer(nil)
	if err != nil {
		return "", err
	}
	gathered := webrtc.GatheringCompletePromise(connection)
	if err := connection.SetLocalDescription(answer); err != nil {
		return "", err
	}
	<-gathered
	return connection.LocalDescription().SDP, nil
}
