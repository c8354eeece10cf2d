export default null; // of the stand-in
