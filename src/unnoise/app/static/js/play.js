// Play: morphs, and what can be done with a picture of one's own.

import { data } from "./common.js";
import { prepareEdits } from "./edits.js";
import { prepareMorph } from "./morph.js";

if (data.run.has_weights) {
  prepareMorph();
  prepareEdits();
}
