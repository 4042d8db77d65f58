// Pictures of finished jobs, where the team's files may go through the gateway: fetched with the key, one at a time.
// The gateway passes no picture to one who does not send the key, so each is kept here as a `blob:` URL.

const THUMBNAILS = { most: 8 * 1024 * 1024 }; // bytes of a file; a larger one is left to its link

class Thumbnails {
  #known = new Map(); // by job: the blob's URL, or "" for one without a picture
  #queue = Promise.resolve();

  // The picture's URL, if it is here; if not, it is fetched and `shown` called once it is.
  of(job, get, shown) {
    if (!this.#known.has(job)) {
      this.#known.set(job, "");
      this.#queue = this.#queue.then(() => this.#fetch(job, get, shown)).catch(() => {});
    }
    return this.#known.get(job);
  }

  async #fetch(job, get, shown) {
    const place = `/gateway/v1/requests/${encodeURIComponent(job)}/artifacts`;
    const listed = await get(place);
    const picture = (await listed.json()).artifacts?.find((each) => each.type.startsWith("image/"));
    if (!picture || !this.#known.has(job)) return;
    const answer = await get(`${place}/${encodeURIComponent(picture.name)}`);
    if (!answer.ok || Number(answer.headers.get("content-length")) > THUMBNAILS.most) return answer.body?.cancel();
    const blob = await answer.blob();
    if (!this.#known.has(job)) return; // the key was forgotten meanwhile
    this.#known.set(job, URL.createObjectURL(blob));
    shown();
  }

  forget() {
    for (const url of this.#known.values()) if (url) URL.revokeObjectURL(url);
    this.#known.clear();
  }
}
