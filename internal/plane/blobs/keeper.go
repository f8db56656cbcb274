package blobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"

	"github.com/trellis-dev/trellis/internal/planeconfig"
)

// Keeper has a bucket's settings be those of the configuration. Every replica may: where nothing differs nothing is written,
// and what two write at once is the same. It is used by one goroutine.
type Keeper struct {
	Settings BucketSettings
	Log      *slog.Logger
	// Drifted, when set, is told of each setting that was put right.
	Drifted func(planeconfig.BlobSetting)

	// can is what the store was found to do of these rules; asking again writes.
	can   ability
	asked []planeconfig.BlobRule
	// said is what the log has of a state already.
	said map[planeconfig.BlobSetting]string
}

// Kept is how the settings are: the state of each that is configured, and the rules that are the plane's to do.
type Kept struct {
	States map[planeconfig.BlobSetting]planeconfig.BlobState
	Own    []planeconfig.BlobRule
}

// Keep compares and puts right each setting once. One that fails keeps none of the others back.
func (k *Keeper) Keep(ctx context.Context, cfg planeconfig.Blobs) Kept {
	out := Kept{States: map[planeconfig.BlobSetting]planeconfig.BlobState{}}
	s := cfg.Settings
	if s.Versioning != "" {
		k.keep(out, planeconfig.SettingVersioning, s.Features.Of(planeconfig.S3Versioning), func() (bool, error) {
			return k.Settings.KeepVersioning(ctx, s.Versioning)
		})
	}
	k.keep(out, planeconfig.SettingCORS, s.Features.Of(planeconfig.S3CORS), func() (bool, error) {
		return k.Settings.KeepCORS(ctx, s.CORS)
	})
	if len(s.CORS) == 0 {
		// What was ours is gone; that there is none left is no state.
		delete(out.States, planeconfig.SettingCORS)
	}
	if s.Encryption != nil {
		k.keep(out, planeconfig.SettingEncryption, s.Features.Of(planeconfig.S3Encryption), func() (bool, error) {
			return k.Settings.KeepEncryption(ctx, *s.Encryption)
		})
	}
	if s.Retention != nil {
		k.keep(out, planeconfig.SettingRetention, s.Features.Of(planeconfig.S3ObjectLock), func() (bool, error) {
			return k.Settings.KeepRetention(ctx, *s.Retention)
		})
		if out.States[planeconfig.SettingRetention] == planeconfig.StateNative {
			// The bucket's own is for what others write, and no store says whether it counts from that. Ours is signed into each upload.
			out.States[planeconfig.SettingRetention] = planeconfig.StateTrellis
		}
	}
	if s.BlockPublic {
		k.keepPrivate(ctx, out, s.Features)
	}
	out.Own = k.keepLifecycle(ctx, out, cfg)
	return out
}

// keep one setting, and note its state.
func (k *Keeper) keep(out Kept, setting planeconfig.BlobSetting, support planeconfig.S3Support, do func() (bool, error)) {
	var changed bool
	err := ErrUnsupported
	if support != planeconfig.S3Absent {
		changed, err = do()
	}
	k.note(out, setting, planeconfig.StateNative, changed, err)
}

// note the state of a setting that was or was not put right. done is the state where there was no error.
func (k *Keeper) note(out Kept, setting planeconfig.BlobSetting, done planeconfig.BlobState, changed bool, err error) {
	state := done
	switch {
	case errors.Is(err, ErrUnsupported):
		state = planeconfig.StateUnsupported
	case err != nil:
		state = planeconfig.StateFailing
	}
	out.States[setting] = state
	if changed {
		k.Log.Info("a setting of the bucket differed, and was put right", "setting", setting)
		if k.Drifted != nil {
			k.Drifted(setting)
		}
	}
	k.say(setting, err)
}

// say what is wrong with a setting, when that changes.
func (k *Keeper) say(setting planeconfig.BlobSetting, err error) {
	if k.said == nil {
		k.said = map[planeconfig.BlobSetting]string{}
	}
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != k.said[setting] && err != nil {
		k.Log.Warn("a setting of the bucket is not as it is configured", "setting", setting, "error", err)
	}
	k.said[setting] = text
}

// keepPrivate has the store refuse what opens the bucket or, where it does not know how, closes the bucket's policy again.
func (k *Keeper) keepPrivate(ctx context.Context, out Kept, f planeconfig.S3Features) {
	err := ErrUnsupported
	var changed bool
	if f.Of(planeconfig.S3PublicAccessBlock) != planeconfig.S3Absent {
		changed, err = k.Settings.KeepPrivate(ctx)
	}
	state := planeconfig.StateNative
	if errors.Is(err, ErrUnsupported) && f.Of(planeconfig.S3BucketPolicy) != planeconfig.S3Absent {
		state = planeconfig.StateTrellis
		changed, err = k.Settings.ClosePolicy(ctx)
	}
	k.note(out, planeconfig.SettingPublicAccess, state, changed, err)
}

// keepLifecycle gives the store the rules that it does, and returns those that are left.
func (k *Keeper) keepLifecycle(ctx context.Context, out Kept, cfg planeconfig.Blobs) []planeconfig.BlobRule {
	if k.asked == nil || !reflect.DeepEqual(k.asked, cfg.Rules) {
		k.can, k.asked = allOfLifecycle, append([]planeconfig.BlobRule{}, cfg.Rules...)
	}
	can := k.can
	absent := cfg.Settings.Features.Of(planeconfig.S3Lifecycle) == planeconfig.S3Absent
	if absent {
		can = noLifecycle
	}
	var changed bool
	var err error
	for ; !absent; can++ {
		native, _, _ := shares(cfg.Rules, can)
		var wrote bool
		wrote, err = k.Settings.KeepLifecycle(ctx, native)
		if changed = changed || wrote; !errors.Is(err, ErrUnsupported) {
			break
		}
		if can == noLifecycle {
			err = nil // There is no rule of ours where there can be none.
			break
		}
	}
	k.can = can
	native, own, stuck := shares(cfg.Rules, can)
	state := planeconfig.StateNative
	if len(own) > 0 {
		state = planeconfig.StateTrellis
	}
	if err == nil && len(stuck) > 0 {
		err = fmt.Errorf("%w: the rules %q have transitions, which only a store does, by its own lifecycle and after whole days", ErrUnsupported, stuck)
	}
	k.note(out, planeconfig.SettingLifecycle, state, changed, err)
	if len(native)+len(own)+len(stuck) == 0 && err == nil {
		delete(out.States, planeconfig.SettingLifecycle)
	}
	return own
}
