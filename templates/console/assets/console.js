// What the console does in a browser beyond htmx. Every page works without it.
'use strict';

document.documentElement.classList.add('scripted');

// A button with data-copy copies the text of the element it names.
document.addEventListener('click', async (event) => {
  const button = event.target.closest('[data-copy]');
  if (!button) return;
  await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
  button.textContent = button.dataset.copied;
});

// Times are shown in the reader's own time; the title keeps UTC.
function localize(root) {
  const format = new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: 'medium', timeStyle: 'medium' });
  for (const time of root.querySelectorAll('time[datetime]:not([title])')) {
    time.title = time.textContent;
    time.textContent = format.format(new Date(time.dateTime));
  }
}
localize(document);
document.addEventListener('htmx:load', (event) => localize(event.target));

// What renews itself waits while nobody looks, or while somebody has selected a text of it.
document.addEventListener('htmx:beforeRequest', (event) => {
  const element = event.target;
  const reads = () => { const s = getSelection(); return !s.isCollapsed && element.contains(s.anchorNode); };
  if (element.dataset.live !== undefined && (document.hidden || reads())) event.preventDefault();
});
