// Pion-caller places one call as a Pion client does, with nothing but the library's defaults: DTLS 1.2, an ordinary
// data channel, Opus.
//
//	pion-caller http://127.0.0.1:8080/v1/realtime/calls
//
// offers audio and the channel oai-events, speaks numbered frames of Opus, and ends with 0 once session.created, the answer
// to an event of its own and ten of its frames are back (the agent has to be echo). It prints one line for each of these.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/pion/webrtc/v3"
	"github.com/pion/webrtc/v3/pkg/media"
)

const (
	frameTime = 20 * time.Millisecond
	limit     = 15 * time.Second
	wanted    = 10
)

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: pion-caller ENDPOINT")
	}
	if err := call(os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

func call(endpoint string) error {
	settings := webrtc.SettingEngine{}
	settings.SetIncludeLoopbackCandidate(true)
	settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	codecs := &webrtc.MediaEngine{}
	if err := codecs.RegisterDefaultCodecs(); err != nil {
		return err
	}
	connection, err := webrtc.NewAPI(webrtc.WithMediaEngine(codecs), webrtc.WithSettingEngine(settings)).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return err
	}
	defer connection.Close()
	microphone, err := webrtc.NewTrackLocalStaticSample(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus}, "microphone", "caller")
	if err != nil {
		return err
	}
	if _, err := connection.AddTrack(microphone); err != nil {
		return err
	}
	done := make(chan string, 16)
	named := make(chan string, 1)
	connection.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) { listen(track, done) })
	events, err := connection.CreateDataChannel("oai-events", nil)
	if err != nil {
		return err
	}
	events.OnMessage(func(message webrtc.DataChannelMessage) {
		var event struct {
			Type   string `json:"type"`
			CallID string `json:"call_id"`
		}
		if json.Unmarshal(message.Data, &event) != nil {
			return
		}
		done <- event.Type
		if event.Type == "session.created" {
			named <- event.CallID
			_ = events.SendText(`{"type":"session.update","session":{"type":"realtime","instructions":"Be brief."}}`)
		}
	})
	connected := make(chan struct{})
	connection.OnConnectionStateChange(func(state webrtc.PeerConnectionState) {
		if state == webrtc.PeerConnectionStateConnected {
			close(connected)
		}
	})
	location, err := offer(connection, endpoint)
	if err != nil {
		return err
	}
	go speak(microphone, connected)
	missing := map[string]bool{"session.created": true, "session.updated": true, "heard": true}
	timeout := time.After(limit)
	for len(missing) > 0 {
		select {
		case what := <-done:
			if missing[what] {
				fmt.Println(what)
				delete(missing, what)
			}
		case <-timeout:
			return fmt.Errorf("after %v these have not come: %v", limit, missing)
		}
	}
	// An answer that was given ahead of the call names none.
	if location == "" {
		location = "/v1/realtime/calls/" + <-named
	}
	return hangUp(endpoint, location)
}

func offer(connection *webrtc.PeerConnection, endpoint string) (string, error) {
	description, err := connection.CreateOffer(nil)
	if err != nil {
		return "", err
	}
	if err := connection.SetLocalDescription(description); err != nil {
		return "", err
	}
	response, err := http.Post(endpoint, "application/sdp", bytes.NewBufferString(description.SDP))
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return "", err
	}
	if response.StatusCode != http.StatusCreated && response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("the server answered %d: %s", response.StatusCode, answer)
	}
	return response.Header.Get("Location"), connection.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: string(answer)})
}

// speak sends frames that only this program makes: one of silence by its first byte, a mark, a number.
func speak(microphone *webrtc.TrackLocalStaticSample, connected <-chan struct{}) {
	<-connected
	for number := byte(0); ; number++ {
		frame := []byte{0xf8, 'p', 'i', 'o', 'n', number}
		if microphone.WriteSample(media.Sample{Data: frame, Duration: frameTime}) != nil {
			return
		}
		time.Sleep(frameTime)
	}
}

// listen counts the frames that come back.
func listen(track *webrtc.TrackRemote, done chan<- string) {
	for heard := 0; ; {
		packet, _, err := track.ReadRTP()
		if err != nil {
			return
		}
		if bytes.Contains(packet.Payload, []byte("pion")) {
			if heard++; heard == wanted {
				done <- "heard"
			}
		}
	}
}

func hangUp(endpoint string, location string) error {
	base, err := http.NewRequest(http.MethodDelete, endpoint, nil)
	if err != nil {
		return err
	}
	target, err := base.URL.Parse(location)
	if err != nil {
		return err
	}
	base.URL = target
	response, err := http.DefaultClient.Do(base)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("hang-up answered %d", response.StatusCode)
	}
	return response.Body.Close()
}
