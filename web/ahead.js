// Downloads begun before anybody asks for them: the parts of the disk that a start needs come while Python still loads.
//
// Knows how webvm/browser/indexeddb.py names what it keeps, only to see that a part need not be fetched; a mistake here
// costs a request and nothing else, for whoever asks for a URL gets its answer, begun before or not.

const PREFIX = "webvm disk "; // of the database of each image
const nativeFetch = self.fetch.bind(self);
const begun = new Map(); // URL: promise of the answer, whole

/** `tell`: called with the number of bytes whenever some came. */
export function begin(url, options, tell = () => {}) {
    const answer = nativeFetch(url, options).then(async (response) => {
        const count = new TransformStream({
            transform(part, controller) {
                tell(part.byteLength);
                controller.enqueue(part);
            },
        });
        return new Response(await new Response(response.body.pipeThrough(count)).arrayBuffer(), response);
    });
    answer.catch(() => {}); // told to whoever asks
    begun.set(url, answer);
}

/** As the platform's, but an answer begun before is given, once. */
export function fetch(input, options) {
    const answer = begun.get(input);
    if (!answer) return nativeFetch(input, options);
    begun.delete(input);
    const aborted = new Promise((_, reject) => options?.signal?.addEventListener("abort", () => reject(options.signal.reason)));
    return Promise.race([answer, aborted]);
}

/** Whether this browser keeps block `number` of the image called `name`, as it is when its content has this identity. */
export async function isKept(name, identity, number) {
    const answer = (request) => new Promise((resolve, reject) => {
        request.onsuccess = () => resolve(request.result);
        request.onerror = () => reject(request.error);
    });
    try {
        const opening = indexedDB.open(PREFIX + name);
        opening.onupgradeneeded = () => opening.transaction.abort(); // there is none: leave it so
        const db = await answer(opening);
        try {
            const transaction = db.transaction(["about", "blocks"]);
            const about = answer(transaction.objectStore("about").get("identity"));
            const found = await answer(transaction.objectStore("blocks").count(number));
            return found > 0 && (await about).split("\n").includes(identity);
        } finally {
            db.close();
        }
    } catch {
        return false;
    }
}
