"""The simulated catalogue: few models, chosen so that every recorded oddity of the real one is met."""

import math

from gateway.simulator.models import Model, Parameter, Shape

PROMPT = Parameter(name="prompt", required=True, description="What to make.")
SEED = Parameter(name="seed", type="integer", description="Repeats a result; null draws one.")
VIDEO = ("video.mp4", "thumbnail.jpg")
IMAGE = ("image.png",)

# Veo takes its seconds as a string, Seedance as an integer, Pixverse as a string from a list.
VEO_PARAMETERS = (
    PROMPT,
    Parameter(name="durationSeconds", type="enum", default="8", options=("4", "6", "8")),
    Parameter(name="aspectRatio", type="enum", default="16:9", options=("16:9", "9:16")),
    Parameter(name="negativePrompt"),
    Parameter(name="personGeneration", type="enum", options=("allow_adult", "dont_allow", "allow_all")),
    Parameter(name="generateAudio", type="boolean", default=True),
    Parameter(name="seed", type="integer", minimum=0, maximum=4294967295),
)
KLING_PARAMETERS = (
    PROMPT,
    Parameter(name="negative_prompt"),
    Parameter(name="cfg_scale", type="float", default=0.5, minimum=0.0, maximum=1.0),
    Parameter(name="duration", type="enum", default="5", options=("5", "10")),
)
SEEDANCE_PARAMETERS = (
    PROMPT,
    Parameter(name="duration", type="integer", default=5, minimum=4, maximum=15),
    Parameter(name="resolution", type="enum", default="720p", options=("480p", "720p", "1080p")),
    Parameter(name="first_frame"),
    Parameter(name="last_frame"),
    SEED,
)
PIXVERSE_PARAMETERS = (
    PROMPT,
    Parameter(name="quality", type="enum", required=True, options=("360p", "540p", "720p", "1080p")),
    Parameter(name="duration", type="enum", default="5", options=("5", "8")),
)
SPEECH_PARAMETERS = (
    Parameter(name="text", required=True, description="What to say, 10 000 characters at most."),
    Parameter(name="voice_id", default="English_radiant_girl"),
    Parameter(name="speed", type="float", default=1.0, minimum=0.5, maximum=2.0),
)


def _veo(name: str, brief: str, seconds: float, price: int) -> Model:
    return Model(
        id=name,
        brief=brief,
        kind="video",
        seconds=seconds,
        shape=Shape.VIDEO_URL,
        artifacts=VIDEO,
        price=price,
        unit="second",
        pricing_details=f"${price / 1_000_000:.2f}/second",
        parameters=VEO_PARAMETERS,
        vendor="google",
    )


def _kling(name: str, brief: str, *more: Parameter) -> Model:
    return Model(
        id=name,
        brief=brief,
        kind="video",
        seconds=120,
        shape=Shape.MEDIA_URLS,
        artifacts=VIDEO,
        price=280_000,
        pricing_details="$0.28/video",
        parameters=(*KLING_PARAMETERS, *more),
        vendor="kuaishou",
    )


VIDEO_MODELS = (
    _veo("Veo3", "Text to video with sound.", 90, 400_000),
    _veo("Veo3-Fast", "Text to video with sound, sooner.", 60, 150_000),
    _veo("Veo3-Ultra", "Text to video with sound, at its best.", 150, 750_000),
    _kling("Kling-Text2Video-V2.1-Master", "Text to video."),
    _kling("Kling-Image2Video-V2.1-Master", "Image to video.", Parameter(name="image", required=True)),
    Model(
        id="seedance-2-0-260128",
        brief="Text and frames to video; jumps from the queue to its end.",
        kind="video",
        seconds=75,
        shape=Shape.MEDIA_URLS,
        artifacts=VIDEO,
        course="leaping",
        price=152_000,
        unit="second",
        pricing_details="480P: $0.07/second; 720P: $0.152/second; 1080P: $0.374/second",
        parameters=SEEDANCE_PARAMETERS,
        vendor="bytedance",
    ),
    Model(
        id="pixverse-v5.6-t2v",
        brief="Text to video.",
        kind="video",
        seconds=60,
        shape=Shape.VIDEO_URL,
        artifacts=VIDEO,
        price=300_000,
        pricing_details="$0.30/video",
        parameters=PIXVERSE_PARAMETERS,
        vendor="pixverse",
    ),
    Model(
        id="wan2.6-r2v",
        brief="Reference images to video.",
        kind="video",
        seconds=100,
        shape=Shape.MEDIA_URLS,
        artifacts=VIDEO,
        price=100_000,
        unit="second",
        pricing_details="480P: $0.05/second; 720P: $0.10/second",
        parameters=(PROMPT, Parameter(name="person_image.24", description="A face to keep."), SEED),
        vendor="alibaba",
    ),
    Model(
        id="vidu-q1",
        brief="Accepts jobs and leaves them queued for ever.",
        kind="video",
        seconds=math.inf,
        shape=Shape.VIDEO_URL,
        price=200_000,
        parameters=(PROMPT,),
        vendor="shengshu",
    ),
    Model(
        id="minimax-hailuo-2.3-fast",
        brief="Fails every job, with a sentence.",
        kind="video",
        seconds=30,
        shape=Shape.ERROR_TEXT,
        price=190_000,
        parameters=(PROMPT,),
        vendor="minimax",
    ),
    Model(
        id="luma-ray-2",
        brief="Fails every job, with an object.",
        kind="video",
        seconds=30,
        shape=Shape.ERROR_OBJECT,
        price=80_000,
        unit="second",
        parameters=(PROMPT, Parameter(name="duration", type="integer", default=5)),
        vendor="luma",
    ),
)

# These hold the POST until they are done.
INLINE_MODELS = (
    Model(
        id="seedream-5.0-lite",
        brief="Text to image.",
        kind="image",
        seconds=20,
        shape=Shape.MEDIA_URLS,
        artifacts=IMAGE,
        course="inline",
        price=35_000,
        unit="image",
        pricing_details="$0.035/image",
        parameters=(
            PROMPT,
            Parameter(name="max_images", type="integer", default=1, minimum=1, maximum=15),
            Parameter(name="size", type="enum", default="2K", options=("2K", "4K")),
            Parameter(name="watermark", type="boolean", default=False),
        ),
        vendor="bytedance",
    ),
    Model(
        id="gemini-3-pro-image-preview",
        brief="Text to image, answered inline; echoes no payload.",
        kind="image",
        seconds=25,
        shape=Shape.CANDIDATES,
        course="inline",
        price=134_000,
        unit="image",
        parameters=(PROMPT,),
        vendor="google",
        echoes_payload=False,
    ),
    Model(
        id="Flux Kontext Pro",
        brief="Edits an image; its id has spaces.",
        kind="image",
        seconds=14,
        shape=Shape.MEDIA_URLS,
        artifacts=IMAGE,
        course="inline",
        price=40_000,
        parameters=(PROMPT, Parameter(name="image", required=True)),
        vendor="blackforestlabs",
    ),
    Model(
        id="bria-genfill",
        brief="Takes an empty payload, then refuses it: 400 with a request_id.",
        kind="image",
        seconds=14,
        shape=Shape.ERROR_TEXT,
        course="inline",
        price=610_000,
        parameters=(Parameter(name="prompt"),),
        vendor="bria",
    ),
    Model(
        id="minimax-tts-speech-2.6-hd",
        brief="Text to speech.",
        kind="audio",
        seconds=22,
        shape=Shape.AUDIO_URL,
        artifacts=("speech.mp3",),
        course="inline",
        price=100,
        unit="character",
        pricing_details="$0.10/1K characters",
        parameters=SPEECH_PARAMETERS,
        vendor="minimax",
    ),
    Model(
        id="minimax-tts-speech-2.6-turbo",
        brief="Text to speech, sooner.",
        kind="audio",
        seconds=22,
        shape=Shape.AUDIO_URL,
        artifacts=("speech.wav",),
        course="inline",
        price=60_000,
        unit="1k_characters",
        pricing_details="$0.06/1K characters",
        parameters=SPEECH_PARAMETERS,
        vendor="minimax",
    ),
    Model(
        id="minimax-music-2.5",
        brief="Lyrics to music.",
        kind="audio",
        seconds=45,
        shape=Shape.AUDIO_URL,
        artifacts=("music.mp3",),
        course="inline",
        price=150_000,
        pricing_details="$0.15/song",
        parameters=(PROMPT, Parameter(name="lyrics", required=True)),
        vendor="minimax",
    ),
    Model(
        id="2f1c7a9e-5b0d-4c3e-9a76-0d8e4b6f1a25",
        brief="A private model: its id is a bare UUID and upstream names no price.",
        kind="text",
        seconds=14,
        shape=Shape.CHOICES,
        course="inline",
        parameters=(PROMPT, SEED),
    ),
)

CATALOGUE: dict[str, Model] = {model.id: model for model in (*VIDEO_MODELS, *INLINE_MODELS)}
